"""Heads as files of a node's MFS: ``/noisefs/<store id, hex>/head/<name>``, each made once, never written to."""

import json
import re
from typing import Final, cast

import aiohttp

from noisefs.adapters.outbound.ipfs.answers import id_text, message_of, shorten
from noisefs.adapters.outbound.ipfs.client import HttpNode, rpc_path
from noisefs.core.domain.ids import ID_BYTES, StoreId
from noisefs.core.domain.nodes.block_id import compute_block_id
from noisefs.core.errors import FileExists, FileNotInStore, InvalidArgument, NodeUnavailable

TOP: Final = "/noisefs"
MAX_HEAD_BYTES: Final = 1 << 20
"""One block of any node."""
_NAME: Final = re.compile(r"[0-9A-Za-z_-][0-9A-Za-z._-]{0,126}")
_ABSENT: Final = ("does not exist",)
_NOT_REMOVED: Final = ("can't remove", *_ABSENT)
_TAKEN: Final = ("already has entry",)


class MfsHeads:
    """The heads that one Kubo keeps."""

    def __init__(self, rpc: HttpNode) -> None:
        """Talk through ``rpc``."""
        self._rpc = rpc

    async def put(self, store_id: StoreId, name: str, data: bytes) -> None:
        """Keep a head: store its block, give it a name, write both to the disk.

        Raises:
            FileExists: There is one of that name with other bytes.
            NodeUnavailable: As the port says.
        """
        if len(data) > MAX_HEAD_BYTES:
            raise InvalidArgument("head", f"{len(data)} bytes", f"at most {MAX_HEAD_BYTES}")
        path, cid = _path(store_id, name), id_text(compute_block_id(data))
        form = aiohttp.FormData()
        form.add_field("file", data, filename="head", content_type="application/octet-stream")
        put = rpc_path("block/put", cid_codec="raw", mhtype="sha2-256", mhlen="32", pin=False)
        stored = await self._answer("POST", put, "block/put", body=form)
        if cid.encode() not in stored:
            raise NodeUnavailable(
                self._rpc.node, "block/put", f"it stored something else: {shorten(message_of(stored))}"
            )
        copy = rpc_path("files/cp", [f"/ipfs/{cid}", path], parents=True, offline=True)
        if await self._rpc.whole("POST", copy, "files/cp", unless=_TAKEN, again=False) is None:
            await self._check_same(path, cid)
        await self._answer("POST", rpc_path("files/flush", [path]), "files/flush")

    async def _check_same(self, path: str, cid: str) -> None:
        stat = await self._answer("POST", rpc_path("files/stat", [path], hash=True), "files/stat")
        if cid.encode() not in stat:
            raise FileExists(path)

    async def names(self, store_id: StoreId) -> list[str]:
        """Names of the heads of a store."""
        return [name for name in await self._list(f"{TOP}/{store_id.hex()}/head") if _NAME.fullmatch(name)]

    async def stores(self) -> list[StoreId]:
        """Stores that have a folder."""
        return [
            StoreId(bytes.fromhex(name))
            for name in await self._list(TOP)
            if re.fullmatch(f"[0-9a-f]{{{2 * ID_BYTES}}}", name)
        ]

    async def get(self, store_id: StoreId, name: str) -> bytes:
        """The bytes of a head.

        Raises:
            FileNotInStore: There is none.
            NodeUnavailable: As the port says.
        """
        path = rpc_path("files/read", [_path(store_id, name)])
        data = await self._rpc.whole("POST", path, "files/read", at_most=MAX_HEAD_BYTES, unless=_ABSENT)
        if data is None:
            raise FileNotInStore(name)
        return data

    async def drop(self, store_id: StoreId, name: str) -> None:
        """Remove a head. Where Kubo could not remove it, it may not have been there."""
        path = rpc_path("files/rm", [_path(store_id, name)])
        told = await self._rpc.whole("POST", path, "files/rm", unless=_NOT_REMOVED)
        if told != b"" and name in await self.names(store_id):
            raise NodeUnavailable(self._rpc.node, "files/rm", shorten(message_of(told or b"it is still there")))

    async def _list(self, folder: str) -> list[str]:
        raw = await self._rpc.whole("POST", rpc_path("files/ls", [folder]), "files/ls", unless=_ABSENT)
        if raw is None:
            return []
        try:
            entries = json.loads(raw)["Entries"] or []
            return [cast(str, entry["Name"]) for entry in entries]
        except (ValueError, KeyError, TypeError) as exc:
            raise NodeUnavailable(self._rpc.node, "files/ls", f"a broken list: {shorten(message_of(raw))}") from exc

    async def _answer(self, method: str, path: str, doing: str, *, body: aiohttp.FormData | None = None) -> bytes:
        answer = await self._rpc.whole(method, path, doing, body=body, again=body is None)
        assert answer is not None
        return answer


def _path(store_id: StoreId, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidArgument("head name", name, "letters, digits, '.', '_' and '-', not beginning with a dot")
    return f"{TOP}/{store_id.hex()}/head/{name}"
