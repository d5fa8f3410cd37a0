"""CORS rules of a bucket: read from XML, and checked.

Source: S3 API Reference, *PutBucketCors*.
"""

import re
from typing import Final

from lxml import etree

from noisefs.adapters.inbound.cross_origin.rule import Rule
from noisefs.adapters.inbound.s3.failure import S3Error
from noisefs.adapters.inbound.s3.xml.reading import name_of

RULES_MOST: Final = 100
_ID_MOST: Final = 255
_METHODS: Final = frozenset({"GET", "PUT", "POST", "DELETE", "HEAD"})
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_VALUE: Final = re.compile(r"[\x21-\x7e]+")
"""What a header can carry: origins and names are echoed in answers."""


def rules_of(root: etree._Element) -> list[Rule]:
    """The rules of a ``CORSConfiguration``.

    Raises:
        S3Error: ``MalformedXML``; ``InvalidRequest``: a method, or more than one wildcard.
    """
    if not 1 <= len(root) <= RULES_MOST or any(name_of(child) != "CORSRule" for child in root):
        raise S3Error("MalformedXML")
    return [_rule_of(child) for child in root]


def _rule_of(element: etree._Element) -> Rule:
    found: dict[str, list[str]] = {
        name: [] for name in ("ID", "AllowedOrigin", "AllowedMethod", "AllowedHeader", "ExposeHeader", "MaxAgeSeconds")
    }
    for child in element:
        name = name_of(child)
        if name not in found or len(child):
            raise S3Error("MalformedXML")
        found[name].append((child.text or "").strip())
    origins, methods, ages = found["AllowedOrigin"], found["AllowedMethod"], found["MaxAgeSeconds"]
    ids = found["ID"]
    if not origins or not methods or len(ages) > 1 or len(ids) > 1 or len("".join(ids)) > _ID_MOST:
        raise S3Error("MalformedXML")
    if any(_NUMBER.fullmatch(age) is None for age in ages):
        raise S3Error("MalformedXML")
    for method in methods:
        if method not in _METHODS:
            raise S3Error(
                "InvalidRequest", f"Found unsupported HTTP method in CORS config. Unsupported method is {method[:40]}"
            )
    for name in ("AllowedOrigin", "AllowedHeader", "ExposeHeader"):
        for value in found[name]:
            _check_pattern(name, value)
    return Rule(
        tuple(origins), tuple(methods), tuple(found["AllowedHeader"]), tuple(found["ExposeHeader"]), "".join(ages)
    )


def _check_pattern(name: str, value: str) -> None:
    if _VALUE.fullmatch(value) is None:
        raise S3Error("InvalidRequest", f'{name} "{value[:200]}" is not valid.')
    if value.count("*") > (name != "ExposeHeader"):
        raise S3Error(
            "InvalidRequest",
            f'ExposeHeader "{value[:200]}" contains wildcard. We currently do not support wildcard for ExposeHeader.'
            if name == "ExposeHeader"
            else f'{name} "{value[:200]}" can not have more than one wildcard.',
        )
