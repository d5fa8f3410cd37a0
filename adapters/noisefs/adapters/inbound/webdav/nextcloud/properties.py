"""Live properties in ownCloud's namespace, answered by name only."""

import hashlib
from typing import Final

from noisefs.adapters.inbound.webdav.files.claims import checksums_of
from noisefs.adapters.inbound.webdav.listing.scene import Scene
from noisefs.adapters.inbound.webdav.places.nodes import Node

OC: Final = "http://owncloud.org/ns"
CHECKSUMS: Final = f"{{{OC}}}checksums"
PERMISSIONS: Final = f"{{{OC}}}permissions"
_ID_BITS: Final = 53
"""What a number of JavaScript, and of SQLite, can hold exactly."""
_INSTANCE: Final = "noisefs"


def file_id(node: Node) -> str:
    """A number of its own for each path of the store. It follows no file that is moved: nothing here has one that
    would.
    """
    text = f"{0 if node.bucket is None else node.bucket.bucket_id}/{node.key}"
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return str((int.from_bytes(digest, "big") >> (64 - _ID_BITS)) or 1)


def instance_id(node: Node) -> str:
    """The same, as unique among servers as these clients want it."""
    return f"{file_id(node):0>8}{_INSTANCE}"


def _file_id(node: Node, _scene: Scene) -> str | None:
    return file_id(node)


def _instance_id(node: Node, _scene: Scene) -> str | None:
    return instance_id(node)


def _size(node: Node, _scene: Scene) -> str | None:
    return None if node.version is None else str(node.version.size)


def _checksums(node: Node, _scene: Scene) -> str | None:
    known = "" if node.version is None else checksums_of(node.version)
    return f'<x:checksum xmlns:x="{OC}">{known}</x:checksum>' if known else None


def _permissions(node: Node, scene: Scene) -> str | None:
    """Letters: G read, D delete, N rename, V move, W overwrite, C make files, K make folders."""
    may_write, may_delete = scene.may_write, scene.may_delete
    if node.place.is_root:
        return "GK"
    moved = "DNV" if may_delete and may_write and not node.place.is_bucket else "D" if may_delete else ""
    written = ("CK" if node.is_collection else "W") if may_write else ""
    return f"G{moved}{written}"


OC_LIVE: Final = {
    CHECKSUMS: _checksums,
    f"{{{OC}}}fileid": _file_id,
    f"{{{OC}}}id": _instance_id,
    PERMISSIONS: _permissions,
    f"{{{OC}}}size": _size,
}
