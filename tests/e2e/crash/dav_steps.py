"""Single requests over WebDAV, on files and on whole collections."""

from tests.e2e.crash.clients import Dav
from tests.e2e.crash.content import Content
from tests.e2e.crash.desk import Desk

_MEMBERS = 4


class FileSteps:
    """Each method sends one request of a kind for one file."""

    def __init__(self, desk: Desk, dav: Dav) -> None:
        self._desk = desk
        self._dav = dav

    def put(self) -> None:
        """Write a file, new or not."""
        key, piece = self._desk.key(), self._desk.piece()
        body = self._desk.pool.bytes_of(piece)
        self._desk.write("dav put", {key: (piece,)}, lambda: self._dav.ask("PUT", key, body=body), {200, 201, 204})

    def move(self) -> None:
        """Rename a file, often over another one: two keys, one effect."""
        self._transfer("MOVE")

    def copy(self) -> None:
        """Copy a file, often over another one."""
        self._transfer("COPY")

    def _transfer(self, method: str) -> None:
        source, target = self._desk.existing(), self._desk.key()
        if source is None or source[0] == target:
            return
        effects: dict[str, Content | None] = {target: source[1]}
        if method == "MOVE":
            effects[source[0]] = None
        headers = self._dav.destination(target)
        self._desk.write(
            f"dav {method.lower()}", effects, lambda: self._dav.ask(method, source[0], headers=headers), {201, 204}
        )

    def delete(self) -> None:
        """Remove a file."""
        found = self._desk.existing()
        if found is None:
            return
        self._desk.write("dav delete", {found[0]: None}, lambda: self._dav.ask("DELETE", found[0]), {204})


class TreeSteps:
    """Whole collections: one request changes every member, all or none."""

    def __init__(self, desk: Desk, dav: Dav) -> None:
        self._desk = desk
        self._dav = dav

    def _trees(self) -> tuple[str, str]:
        """A collection and another one, of this worker's."""
        source, target = self._desk.draw.sample(trees_of(self._desk.owned.folder), 2)
        return source, target

    def _members(self, tree: str) -> dict[str, Content]:
        """What a collection holds, by name below it."""
        found = {f"{number}": self._desk.model.certain(f"{tree}/{number}") for number in range(_MEMBERS)}
        return {name: content for name, content in found.items() if content is not None}

    def put(self) -> None:
        """Write a member over S3; that makes the collection."""
        key, piece = f"{self._trees()[0]}/{self._desk.draw.randrange(_MEMBERS)}", self._desk.piece()
        self._desk.write(
            "put", {key: (piece,)}, lambda: self._desk.s3.ask("PUT", key, body=self._desk.pool.bytes_of(piece)), {200}
        )

    def move(self) -> None:
        """Rename a collection over another one."""
        self._transfer_tree("MOVE")

    def copy(self) -> None:
        """Copy a collection over another one."""
        self._transfer_tree("COPY")

    def _transfer_tree(self, method: str) -> None:
        """One request changes every member of two collections, all or none."""
        source, target = self._trees()
        members = self._members(source)
        if not members:
            return
        effects: dict[str, Content | None] = {f"{target}/{name}": None for name in self._members(target)}
        effects |= {f"{target}/{name}": content for name, content in members.items()}
        if method == "MOVE":
            effects |= {f"{source}/{name}": None for name in members}
        headers = self._dav.destination(f"{target}/")
        self._desk.write(
            f"dav tree {method.lower()}",
            effects,
            lambda: self._dav.ask(method, f"{source}/", headers=headers),
            {201, 204},
        )

    def delete(self) -> None:
        """Remove a collection."""
        tree = self._trees()[0]
        members = self._members(tree)
        if not members:
            return
        effects = {f"{tree}/{name}": None for name in members}
        self._desk.write("dav tree delete", effects, lambda: self._dav.ask("DELETE", f"{tree}/"), {204})


def trees_of(folder: str) -> list[str]:
    """The collections below a worker's folder that are moved as a whole."""
    return [f"{folder}/tree{number}" for number in range(3)]
