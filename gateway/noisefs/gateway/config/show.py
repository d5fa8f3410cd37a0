"""The configuration as text: the README's table from the schema, and TOML from a configuration.

Made from the schema, so neither can be out of date.
"""

import json
from collections.abc import Iterator, Mapping

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from noisefs.gateway.config.load import PREFIX
from noisefs.gateway.config.schema import Config, table_of
from noisefs.gateway.config.values import format_size

_HIDDEN = "(hidden)"


def setting_rows() -> Iterator[tuple[str, str, str, str]]:
    """Every setting: its name, its variable of the environment, its default, its purpose."""
    for name, field in _fields(Config):
        variable = "" if "[]" in name else f"{PREFIX}{name.upper().replace('.', '__')}"
        yield name, variable, _default(field), field.description or ""


def markdown_table() -> str:
    """Every setting as one Markdown table."""
    lines = ["| setting | environment | default | what it is for |", "| --- | --- | --- | --- |"]
    lines += [
        f"| `{name}` | {_code(variable)} | {_code(default)} | {text} |"
        for name, variable, default, text in setting_rows()
    ]
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def shown(config: Config) -> dict[str, object]:
    """Every field's value as JSON can have it, secrets hidden."""
    values = _without_secrets(config, config.model_dump(mode="json"))
    assert isinstance(values, dict)
    return values


def as_toml(values: Mapping[str, object], origins: Mapping[str, str]) -> str:
    """Values of :func:`shown` as a TOML file would say them, each that was set with its source behind it."""
    plain = [
        line for name, value in values.items() if not isinstance(value, dict) for line in _line(origins, name, value)
    ]
    tables = [
        "\n".join(
            [f"\n[{name}]", *(line for field, one in table.items() for line in _line(origins, f"{name}.{field}", one))]
        )
        for name, table in values.items()
        if isinstance(table, dict)
    ]
    return "\n".join(plain + tables) + "\n"


def _line(origins: Mapping[str, str], name: str, value: object) -> Iterator[str]:
    field = name.rpartition(".")[2]
    origin = origins.get(name)
    behind = f"  # set by {origin}" if origin else ""
    if value is None:
        yield f"# {field} ="
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        rows = ", ".join(
            "{" + ", ".join(f"{key} = {json.dumps(one)}" for key, one in row.items() if one is not None) + "}"
            for row in value
        )
        yield f"{field} = [{rows}]{behind}"
    else:
        yield f"{field} = {json.dumps(value)}{behind}"


def _without_secrets(model: object, values: object) -> object:
    if isinstance(model, SecretStr):
        return _HIDDEN
    if isinstance(model, BaseModel) and isinstance(values, dict):
        return {name: _without_secrets(getattr(model, name), value) for name, value in values.items()}
    if isinstance(model, tuple) and isinstance(values, list):
        return [_without_secrets(one, value) for one, value in zip(model, values, strict=True)]
    return values


def _fields(table: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in table.model_fields.items():
        below = table_of(field.annotation)
        if below is None:
            yield prefix + name, field
        elif field.description is None:
            yield from _fields(below, f"{prefix}{name}.")
        else:
            yield from _fields(below, f"{prefix}{name}[].")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    value = field.default
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value >= 1 << 16:
        return format_size(value)
    return str(value)
