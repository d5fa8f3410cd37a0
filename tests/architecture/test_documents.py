"""Documents that are made from the program stay current."""

from pathlib import Path

from tools.docs import generated

ROOT = Path(__file__).resolve().parents[2]


def test_the_generated_parts_of_the_readme_are_current() -> None:
    """Run ``make docs`` when this fails."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert generated(text) == text
