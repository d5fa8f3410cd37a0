"""The cells of the table: what is asked, how often at once, and what has to be there before."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, cycle, islice
from typing import Literal

from bench.sites import Site
from bench.wire import Driver, Outcome, Request

KIB, MIB = 1 << 10, 1 << 20
_BIG = "big"
_WARM_UP_S = 0.3
_TREE_FOLDERS = 100
_SIGN_AHEAD = 1.6  # requests made ahead, over what the warm-up's rate would need
Kind = Literal["put", "get", "delete", "range", "list", "move", "sync"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One row of the table. ``size_bytes`` is what one operation moves; ``entries`` is for listings and trees."""

    name: str
    title: str
    protocol: str
    kind: Kind
    connections: int
    size_bytes: int = 0
    object_bytes: int = 0
    entries: int = 0
    keep: int = 0  # objects a reading cell goes round

    @property
    def writes(self) -> bool:
        """Whether the server may have work left when the cell ends."""
        return self.kind in {"put", "delete", "move", "sync"}


CELLS = (
    Cell("put4k", "PUT 4 KiB, 8 conn.", "s3", "put", 8, 4 * KIB),
    Cell("get4k", "GET 4 KiB, 8 conn.", "s3", "get", 8, 4 * KIB, keep=2000),
    Cell("delete4k", "DELETE 4 KiB, 8 conn.", "s3", "delete", 8, 4 * KIB),
    Cell("put70k", "PUT 70 KiB, 32 conn.", "s3", "put", 32, 70 * KIB),
    Cell("put1m", "PUT 1 MiB, 8 conn.", "s3", "put", 8, MIB),
    Cell("get1m", "GET 1 MiB, 8 conn.", "s3", "get", 8, MIB, keep=64),
    Cell("put64m", "PUT 64 MiB, 2 conn.", "s3", "put", 2, 64 * MIB),
    Cell("get64m", "GET 64 MiB, 2 conn.", "s3", "get", 2, 64 * MIB, keep=4),
    Cell("range", "range 64 KiB of 256 MiB, 8 conn.", "s3", "range", 8, 64 * KIB, object_bytes=256 * MIB),
    Cell("list", "list 1000 of 10,000, 8 conn.", "s3", "list", 8, entries=10_000),
    Cell("sync", "rclone sync, small files", "s3", "sync", 8),
    Cell("dav-put4k", "PUT 4 KiB, 8 conn.", "webdav", "put", 8, 4 * KIB),
    Cell("dav-get4k", "GET 4 KiB, 8 conn.", "webdav", "get", 8, 4 * KIB, keep=2000),
    Cell("dav-put1m", "PUT 1 MiB, 8 conn.", "webdav", "put", 8, MIB),
    Cell("dav-get1m", "GET 1 MiB, 8 conn.", "webdav", "get", 8, MIB, keep=64),
    Cell("dav-put64m", "PUT 64 MiB, 2 conn.", "webdav", "put", 2, 64 * MIB),
    Cell("dav-get64m", "GET 64 MiB, 2 conn.", "webdav", "get", 2, 64 * MIB, keep=4),
    Cell("dav-list", "PROPFIND of 1000, 8 conn.", "webdav", "list", 8, entries=1000),
    Cell("dav-list20k", "PROPFIND of 20,000, 1 conn.", "webdav", "list", 1, entries=20_000),
    Cell("dav-move", "MOVE of a tree of 10,000, 1 conn.", "webdav", "move", 1, entries=10_000),
    Cell("dav-sync", "rclone sync, small files", "webdav", "sync", 8),
)


@dataclass(slots=True)
class Stage:
    """What is stored on one server for one protocol, over all rounds."""

    stock: dict[int, list[str]] = field(default_factory=dict)  # by size
    made: set[str] = field(default_factory=set)
    serial: int = 0

    def fresh(self, site: Site, size_bytes: int) -> Iterator[Request]:
        """Endless writes of new names."""
        while True:
            self.serial += 1
            yield site.put(f"{folder_of(site, size_bytes)}/{self.serial:08d}", size_bytes)

    def keep(self, size_bytes: int) -> Callable[[Request], None]:
        """What notes an acknowledged write."""
        names = self.stock.setdefault(size_bytes, [])

        def note(request: Request) -> None:
            target = request.head.split(b" ", 2)[1].decode()
            names.append(target.split("/", 2)[2])

        return note


def folder_of(site: Site, size_bytes: int) -> str:
    """Where objects of one size are kept. Both protocols of a server may see one namespace."""
    return f"{site.protocol}-{size_bytes}"


def _listed(cell: Cell) -> str:
    return f"listed-{cell.name}"


def _tree(cell: Cell, number: int = 0) -> str:
    """Where the tree is that a cell moves: 0 in the beginning, then 1, and so on in turn."""
    return f"tree-{cell.name}-{number % 2}"


def prepare(stage: Stage, site: Site, cells: list[Cell]) -> None:
    """Make what the cells need and no cell writes: folders, the large object, the names to list, the tree to move."""
    if not stage.made:
        site.make_folders(sorted({folder_of(site, cell.size_bytes) for cell in cells}))
        stage.made.add("")
    for cell in cells:
        if cell.kind == "range" and _BIG not in stage.made:
            site.expect(site.put(_BIG, cell.object_bytes), 200, 201)
            stage.made.add(_BIG)
        if cell.kind == "list" and cell.name not in stage.made:
            site.make_folders([_listed(cell)])
            names = (f"{_listed(cell)}/{number:08d}" for number in range(cell.entries))
            drive(site, 8, (site.put(name, KIB) for name in names), 3600)
            stage.made.add(cell.name)
        if cell.kind == "move" and cell.name not in stage.made:
            folders = [f"{_tree(cell)}/{number:03d}" for number in range(_TREE_FOLDERS)]
            site.make_folders([_tree(cell), *folders])
            names = (f"{folders[number % _TREE_FOLDERS]}/{number:08d}" for number in range(cell.entries))
            drive(site, 8, (site.put(name, KIB) for name in names), 3600)
            stage.made.add(cell.name)


def drive(
    site: Site,
    connections: int,
    requests: Iterator[Request],
    seconds: float,
    answered: Callable[[Request], None] | None = None,
) -> Outcome:
    """Send requests over connections of their own."""
    driver = Driver(site.address, connections)
    try:
        return driver.run(requests, seconds, answered=answered)
    finally:
        driver.close()


def requests_of(cell: Cell, stage: Stage, site: Site, seconds: float) -> Iterator[Request]:
    """The cell's requests, made and signed ahead, after a short warm-up by requests of the same kind."""
    size = cell.size_bytes
    if cell.kind == "put":
        warm = drive(site, cell.connections, stage.fresh(site, size), _WARM_UP_S, stage.keep(size))
        ahead = int(warm.count / warm.elapsed_s * seconds * _SIGN_AHEAD) + cell.connections
        return iter(list(islice(stage.fresh(site, size), ahead)))
    if cell.kind in {"get", "delete"}:
        stock = stage.stock.setdefault(size, [])
        missing = (cell.keep or 2000) - len(stock)
        if missing > 0 and (cell.kind == "delete" or not stock):
            drive(site, cell.connections, islice(stage.fresh(site, size), missing), 3600, stage.keep(size))
    if cell.kind == "delete":
        requests = [site.delete(name) for name in stock]
        stock.clear()
        warm_ups = len(requests) // 10
        drive(site, cell.connections, iter(requests[:warm_ups]), 3600)
        return iter(requests[warm_ups:])
    if cell.kind == "move":
        site.ask(site.move(_tree(cell, 1), _tree(cell)))  # an earlier round may have left it there
        return (site.move(_tree(cell, number), _tree(cell, number + 1)) for number in count())
    if cell.kind == "get":
        reads = [site.get(name, size) for name in stock[-cell.keep :]]
    elif cell.kind == "range":
        steps = [number * 7919 * 4096 % (cell.object_bytes - size) for number in range(1000)]
        reads = [site.get_range(_BIG, offset, size) for offset in steps]
    else:
        reads = [site.listing(_listed(cell))]
    drive(site, cell.connections, cycle(reads), _WARM_UP_S)
    return cycle(reads)


def check(cell: Cell, stage: Stage, site: Site) -> str:
    """Read one answer whole and compare it; returns what is wrong with it, or nothing."""
    if cell.kind in {"put", "get"} and (stock := stage.stock.get(cell.size_bytes)):
        answer = site.ask(site.get(stock[-1], cell.size_bytes))
        right = site.pool.view[: cell.size_bytes] == answer.body
    elif cell.kind == "range":
        answer = site.ask(site.get_range(_BIG, 12345, cell.size_bytes))
        right = site.pool.view[12345 : 12345 + cell.size_bytes] == answer.body
    elif cell.kind == "list":
        answer = site.ask(site.listing(_listed(cell)))
        # One element per entry, whatever the namespace prefix; a PROPFIND names the collection too.
        found = answer.body.count(b"<Key>") if site.protocol == "s3" else answer.body.lower().count(b"href>") // 2 - 1
        right = found == (min(cell.entries, 1000) if site.protocol == "s3" else cell.entries)
    elif cell.kind == "move":
        trees = [site.ask(site.listing(_tree(cell, number))).body.lower().count(b"href>") // 2 - 1 for number in (0, 1)]
        answer = site.ask(site.listing(f"{_tree(cell, trees.index(max(trees)))}/007"))
        right = (
            sorted(trees)[1] == _TREE_FOLDERS
            and answer.body.lower().count(b"href>") // 2 > cell.entries // _TREE_FOLDERS
        )
    else:
        return ""
    return "" if right else f"{cell.name}: the answer is wrong ({answer.status}, {len(answer.body)} bytes)"


def clean_up(stage: Stage, site: Site) -> None:
    """Remove what the round's cells wrote and none removed."""
    site.refresh()
    for names in stage.stock.values():
        drive(site, 8, (site.delete(name) for name in names), 3600)
        names.clear()
