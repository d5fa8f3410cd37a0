"""The shape of the tree: what tools do not check by themselves."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RINGS = ("core", "adapters", "gateway")

COMFORTABLE_LINES = 500
"""STYLE.md section 1: past that a module says why, or is split."""


def python_files() -> list[Path]:
    """Every module of the program."""
    return [path for ring in RINGS for path in (ROOT / ring).rglob("*.py")]


def test_rings_are_parts_of_one_namespace() -> None:
    """An ``__init__.py`` directly in ``*/noisefs/`` would hide the other rings."""
    for ring in RINGS:
        assert not (ROOT / ring / "noisefs" / "__init__.py").exists()


def test_every_folder_below_is_a_package_with_a_docstring() -> None:
    """A folder without ``__init__.py`` is invisible to import-linter, and so to the rules."""
    folders = {path.parent for path in python_files()}
    for folder in folders:
        text = (folder / "__init__.py").read_text(encoding="utf-8") if (folder / "__init__.py").exists() else ""
        assert text.startswith('"""'), f"{folder.relative_to(ROOT)} needs an __init__.py with a docstring"


def test_modules_fit_a_head() -> None:
    """Long modules have more than one idea."""
    long = {
        str(path.relative_to(ROOT)): lines
        for path in python_files()
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > COMFORTABLE_LINES
    }
    assert not long


def test_modules_say_what_they_are() -> None:
    """The first line of every module tells its one idea."""
    silent = [str(path.relative_to(ROOT)) for path in python_files() if not path.read_text().lstrip().startswith('"""')]
    assert not silent


@pytest.mark.parametrize("name", ["utils", "helpers", "manager", "base", "misc", "common"])
def test_no_module_is_named_for_its_role(name: str) -> None:
    """STYLE.md section 1: named for the domain noun."""
    assert not [path for path in python_files() if path.stem == name]


def test_imports_point_inwards() -> None:
    """The contracts of pyproject.toml, checked by import-linter."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def tracked_text() -> list[tuple[Path, str]]:
    """Every file that git knows, as text."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [ROOT / name for name in listed.splitlines()]
    return [(path, path.read_text(encoding="utf-8", errors="ignore")) for path in files if path.is_file()]


def test_nothing_depends_on_the_place_where_it_was_written() -> None:
    """No absolute paths of a machine, no addresses of registries in locks."""
    for path, text in tracked_text():
        assert str(ROOT) not in text, path
    locks = *(ROOT / "tools" / "locks").glob("*.txt"), *(ROOT / "tools").glob("*/package-lock.json")
    for lock in (*ROOT.glob("requirements*.txt"), *locks):
        text = lock.read_text()
        assert "://" not in text
        assert not re.search(r"^--", text, re.MULTILINE)


def test_locks_hold_every_dependency() -> None:
    """A dependency that is not pinned would not be installed."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    wanted = {
        "requirements.txt": [*project["project"]["dependencies"], *groups["build"]],
        "requirements-dev.txt": [*project["project"]["dependencies"], *groups["build"], *groups["dev"]],
        **{f"tools/locks/{lock.stem}.txt": groups[lock.stem] for lock in (ROOT / "tools" / "locks").glob("*.txt")},
    }
    for lock, dependencies in wanted.items():
        pinned = {line.partition("==")[0].strip() for line in (ROOT / lock).read_text().splitlines() if "==" in line}
        pinned = {re.sub(r"\[.*\]", "", name) for name in pinned}
        for dependency in dependencies:
            if isinstance(dependency, str):
                name = re.split(r"[\s\[<>=~!]", dependency)[0]
                assert name in pinned, f"{name} is not in {lock}: run `make lock`"
