"""Reading the configuration from its three sources, and saying in our own words what is wrong with it."""

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from noisefs.core.errors import ConfigError
from noisefs.gateway.config.schema import Config, table_of

PREFIX: Final = "NOISEFS_"

_KUBERNETES: Final = re.compile(r"NOISEFS_(\w+_)?(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_(TCP|UDP)(_\w+)?)?)")
"""Variables that Kubernetes puts into every pod for a service called noisefs(-...): none of ours."""

_NO_SETTINGS: Final = re.compile(r"NOISEFS_(DATA|CONFIG|TEST_\w+)")
"""Variables that stand for flags of the command line, and those of our tests, which servers inherit."""

_SECRET: Final = re.compile(r"secret|password|passphrase|token|(webhooks|redis)\.\d+\.url")
_HIDDEN: Final = "(hidden)"

Tree = dict[str, Any]  # Any: nothing is known about the values before the schema has seen them


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, and where each field that is not at its default was set (dotted name to source)."""

    config: Config
    origins: Mapping[str, str]


class BadConfiguration(ConfigError):
    """One or more fields are unknown or bad. The fields are those of the first problem; ``problems`` has all."""

    def __init__(self, problems: Sequence[ConfigError]) -> None:
        first = problems[0]
        super().__init__(first.field, first.value, first.allowed)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        """One line for each problem."""
        return "\n".join(str(problem) for problem in self.problems)


def load(
    file: Path | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
    flags: Mapping[str, object] | None = None,
    assignments: Sequence[str] = (),
) -> Loaded:
    """The configuration: file, overruled by the environment, overruled by flags.

    Args:
        file: A TOML file.
        environment: ``NOISEFS_`` variables in it count; ``__`` separates a table from its field.
        flags: Dotted field names and values; a value of ``None`` was not given.
        assignments: ``FIELD=VALUE`` as text, stronger than the environment, weaker than flags of their own.

    Raises:
        BadConfiguration: Fields are unknown, or values not allowed: each with field, value and what is allowed.
    """
    tree: Tree = {}
    origins: dict[str, str] = {}
    if file is not None:
        for path, value in _leaves(_read_file(file)):
            _put(tree, origins, path, value, str(file))
    for name, text in sorted(environment.items()):
        if name.startswith(PREFIX) and text and not (_NO_SETTINGS.fullmatch(name) or _KUBERNETES.fullmatch(name)):
            _put(tree, origins, name.removeprefix(PREFIX).lower().split("__"), _value(name, text), name)
    for assignment in assignments:
        field, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError("--set", assignment, "FIELD=VALUE is needed, such as s3.region=eu-west-1")
        _put(tree, origins, field.strip().split("."), _value("--set", text.strip()), "--set")
    for field, flag in (flags or {}).items():
        if flag is not None:
            _put(tree, origins, field.split("."), flag, "flag")
    try:
        return Loaded(Config.model_validate(tree), origins)
    except ValidationError as exc:
        problems = [_problem(error, origins) for error in exc.errors(include_url=False)]
        raise BadConfiguration(problems) from None


def _read_file(file: Path) -> Tree:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigError("--config", str(file), f"the file cannot be read: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError("--config", str(file), f"the file is not TOML: {exc}") from exc


def _leaves(tree: Tree, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), value


def _put(tree: Tree, origins: dict[str, str], path: Sequence[str], value: object, source: str) -> None:
    """Set one field in the tree. A table in the way of a value, or the other way round, is the schema's to refuse."""
    for name in path[:-1]:
        below = tree.get(name)
        if not isinstance(below, dict):
            below = tree[name] = {}
        tree = below
    tree[path[-1]] = value
    origins[".".join(path)] = source


def _value(source: str, text: str) -> object:
    """A list or table is written as JSON; everything else is text, which the schema turns into what it needs."""
    if not text.startswith(("[", "{")) or re.match(r"\[[0-9a-fA-F:.]+\]:\d", text):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError as exc:
        raise ConfigError(source, text, f"a list or table must be JSON: {exc}") from exc


def _problem(error: ErrorDetails, origins: Mapping[str, str]) -> ConfigError:
    names = [str(part) for part in error["loc"] if isinstance(part, int) or "[" not in part]
    field = ".".join(names) or "configuration"
    value: object = error["input"]
    if _SECRET.search(field):
        value = _HIDDEN
    elif isinstance(value, dict | BaseModel):
        value = sorted(value) if isinstance(value, dict) else type(value).__name__
    if error["type"] == "extra_forbidden":
        allowed = _known(names)
    else:
        allowed = error["msg"].removeprefix("Value error, ")
        if allowed[1:2].islower():
            allowed = allowed[0].lower() + allowed[1:]
    source = next((where for name, where in origins.items() if field == name or field.startswith(f"{name}.")), "")
    return ConfigError(field, value, f"{allowed} (set by {source})" if source not in ("", "flag") else allowed)


def _known(names: Sequence[str]) -> str:
    """What may stand where an unknown field was found."""
    table: type[BaseModel] = Config
    for name in names[:-1]:
        if name in table.model_fields:
            table = table_of(table.model_fields[name].annotation) or table
    fields = list(table.model_fields)
    close = difflib.get_close_matches(names[-1], fields, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"there is no such field; {hint}known are {', '.join(fields)}"
