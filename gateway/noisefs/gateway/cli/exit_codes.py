"""Exit codes: one for each family of errors, so that a script can tell what to do."""

from typing import Final

from noisefs.adapters.inbound.admin.failures import family_of
from noisefs.core.errors import NoisefsError

BUG: Final = 1
FOUND: Final = 6
"""A check found damage or a broken promise; the same as for damage that gets in the way."""
LATER: Final = 7
"""Something that others are needed for was not done, because they do not answer now."""
INTERRUPTED: Final = 130

BY_FAMILY: Final[dict[str, tuple[int, str]]] = {
    "InvalidRequest": (2, "the command, its values or the configuration are wrong"),
    "NotFound": (3, "what was named does not exist"),
    "Conflict": (4, "the present state forbids it: it exists already, is not empty, is in use"),
    "AccessDenied": (5, "a wrong root key, or a login that was refused"),
    "IntegrityError": (FOUND, "something stored is damaged, or an audit found a broken promise"),
    "Unavailable": (LATER, "not possible now; the same command may succeed later"),
    "CapacityExceeded": (8, "no space, or a limit of count is reached"),
}


def exit_code(error: NoisefsError) -> int:
    """The program's exit code for an error."""
    code, _ = BY_FAMILY.get(family_of(error), (BUG, ""))
    return code


def explained() -> str:
    """The table as Markdown, for help and README."""
    rows = [(0, "done"), (BUG, "a fault of the program"), *BY_FAMILY.values(), (INTERRUPTED, "interrupted")]
    return "\n".join(f"- `{code}`: {text}" for code, text in rows)
