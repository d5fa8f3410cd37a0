"""Redirections of web sites, for any key, rule and host."""

import re
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from noisefs.adapters.inbound.s3.failure import S3Error
from noisefs.adapters.inbound.s3.website.place import place_of
from noisefs.adapters.inbound.s3.website.site import Origin, Redirect

ORIGIN = Origin("http", "b.d.example", "")
KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
REPLACED = st.none() | KEYS
PLAIN = re.compile(r"[\x21-\x7e]*")


@given(key=KEYS, whole=REPLACED, prefix=REPLACED)
def test_a_rule_without_a_host_stays_on_it(key: str, whole: str | None, prefix: str | None) -> None:
    """No header is ended, and no browser reads another host out of the path."""
    location = Redirect(key=whole, prefix=prefix).location(key, key[:2], ORIGIN)
    assert PLAIN.fullmatch(location)
    assert location.startswith("/")
    assert not location.startswith(("//", "/\\"))


@given(key=KEYS)
def test_a_location_names_the_key_it_was_made_for(key: str) -> None:
    """A browser that follows it asks for exactly that."""
    location = Redirect().location(key, "", ORIGIN)
    assert unquote(location[1:]) == key
    assert place_of(location, ORIGIN.host, "d.example").key == key


@given(raw=st.text(max_size=60), host=st.text(max_size=30))
def test_any_request_names_a_page_or_is_refused(raw: str, host: str) -> None:
    """Whatever comes, nothing else is raised."""
    try:
        place = place_of(raw, host, "d.example")
    except S3Error:
        return
    assert not place.base or place.base.startswith("/")
