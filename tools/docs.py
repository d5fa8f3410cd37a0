"""Write the generated parts of README.md anew: ``python tools/docs.py``.

They stand between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``.
"""

import re
from pathlib import Path
from typing import Final

README: Final = Path(__file__).resolve().parent.parent / "README.md"


def generated(text: str) -> str:
    """The text with every generated part as it should be."""
    from noisefs.gateway.cli.exit_codes import explained
    from noisefs.gateway.config.show import markdown_table

    for name, part in {"configuration": markdown_table(), "exit codes": explained() + "\n"}.items():
        between = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        pieces = between.split(text)
        if len(pieces) != 4:  # before, begin, end, after
            raise SystemExit(f"README.md needs exactly one part {name!r}")
        before, begin, end, after = pieces
        text = f"{before}{begin}\n{part}\n{end}{after}"
    return text


if __name__ == "__main__":
    README.write_text(generated(README.read_text(encoding="utf-8")), encoding="utf-8")
