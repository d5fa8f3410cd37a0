"""The result of a check: a table with its verdict, for people and for programs."""

import dataclasses
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was measured, and whether the promise holds (None: nothing is promised)."""

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | float]]
    holds: bool | None
    note: str = ""

    def markdown(self) -> str:
        """Title, verdict, table."""
        lines = [f"## {self.title}", ""]
        if self.holds is not None:
            lines += ["**holds**" if self.holds else "**DOES NOT HOLD**", ""]
        lines += [f"| {' | '.join(self.columns)} |", f"| --- |{' ---: |' * (len(self.columns) - 1)}"]
        lines += [f"| {' | '.join(_shown(value) for value in row)} |" for row in self.rows]
        return "\n".join([*lines, *(["", self.note] if self.note else [])]) + "\n"


def _shown(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.3f}".rstrip("0").rstrip(".")


def write(folder: Path, finding: Finding) -> Path:
    """Write ``<time>-<name>.md`` and ``.json``; returns the Markdown's path."""
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{finding.name}.md"
    page.write_text(finding.markdown())
    page.with_suffix(".json").write_text(json.dumps(dataclasses.asdict(finding), indent=1) + "\n")
    return page
