"""Looking for what must not be found: canaries in every file of a folder, and anything that is not noise."""

import base64
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.support.adversary import chi_square

WAL_HEADER, WAL_FRAME_HEADER, PAGE = 32, 24, 4096
"""Of SQLite's log: its headers are not sealed, its pages are (https://sqlite.org/fileformat2.html section 4)."""


COMPRESSED_MAX = 1 << 20
"""Longer data is compressed piece by piece."""


def forms(canary: bytes) -> dict[str, bytes]:
    """The canary raw, in hex, and in base64 at each of its three places in a group."""
    found = {"raw": canary, "hex": canary.hex().encode(), "HEX": canary.hex().upper().encode()}
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + canary)
        # The first and the last characters also hold bits of the neighbours.
        found[f"base64+{shift}"] = encoded[4 if shift else 0 : len(encoded) // 4 * 4 - 4]
        found[f"base64url+{shift}"] = base64.urlsafe_b64encode(bytes(shift) + canary)[4 if shift else 0 : -4]
    found["UTF-16"] = canary.decode("latin-1").encode("utf-16-le")
    return found


def found_in(data: bytes, canaries: Mapping[str, bytes]) -> list[str]:
    """Which canaries turn up in these bytes, and in which form."""
    return [
        f"{name} ({form})"
        for name, canary in canaries.items()
        for form, pattern in forms(canary).items()
        if pattern in data
    ]


def files_of(folder: Path) -> list[Path]:
    """Every file below a folder."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def found_in_folder(folder: Path, canaries: Mapping[str, bytes], spare: Iterable[str] = ()) -> list[str]:
    """Which canaries turn up in which file, or in its name. ``spare``: names of files that may hold some."""
    found = []
    for path in files_of(folder):
        if path.name in spare:
            continue
        name = str(path.relative_to(folder))
        data = path.read_bytes()
        if path.suffix in (".open", ".new"):
            data = data.rstrip(b"\0")  # preallocated
        found += [f"{name}: {hit}" for hit in found_in(data + b"\n" + name.encode(), canaries)]
    return found


def noise_faults(data: bytes) -> list[str]:
    """What tells these bytes from noise: uneven byte counts, or anything that compresses."""
    faults = []
    if len(data) >= 65536:
        score = chi_square(data)
        if not 255 - 7 * 22.6 < score < 255 + 7 * 22.6:
            faults.append(f"chi-square {score:.0f} where noise has 255")
    if data and len(data) <= COMPRESSED_MAX and len(zlib.compress(data, 6)) < len(data):
        faults.append("it compresses")
    return faults


def pages_of_log(wal: bytes) -> bytes:
    """The pages of a write-ahead log without its headers."""
    frames = wal[WAL_HEADER:]
    step = WAL_FRAME_HEADER + PAGE
    return b"".join(frames[at + WAL_FRAME_HEADER : at + step] for at in range(0, len(frames) - step + 1, step))


def uneven_files(folder: Path) -> list[str]:
    """Packs, database and log that are not noise. Open packs are looked at up to their preallocated end."""
    found = []
    for path in files_of(folder):
        data = path.read_bytes()
        if path.suffix == ".pack" or path.name == "index.db":
            parts = [data]
        elif path.suffix == ".open":
            parts = [data.rstrip(b"\0")]
        elif path.name == "index.db-wal":
            parts = [pages_of_log(data)]
        else:
            continue
        # The whole, and piece by piece: one bare cell is lost among thousands.
        parts += [parts[0][at : at + 131088] for at in range(0, len(parts[0]) - 131087, 131088)]
        found += [f"{path.name}: {fault}" for part in parts for fault in noise_faults(part)]
    return found
