"""Keys with names that objects can be sealed with inside (SSE-KMS): this store's own key ring for clients.

Each is random, made once, and kept wrapped with the store's key; whoever has the root key has them all. What they add
to the sealing of bodies is a name that policies can ask for, and that an object keeps. They are never given out, and
there is no way to remove one: everything sealed with it would be lost.
"""

import re
from typing import Final

from noisefs.core.domain.records import NamedKey, decode, encode
from noisefs.core.domain.sealing.keys import KEY_BYTES, KeyWrap
from noisefs.core.errors import InvalidArgument, NamedKeyExists, NamedKeyNotFound
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.services.commits import CommitQueue

DEFAULT: Final = "aws/s3"
"""The key of requests that name none. It is made when it is first needed."""
PREFIX: Final = b"sse-key/"
"""Rows in ``META``."""
_NAME: Final = re.compile(r"[A-Za-z0-9/_.:-]{1,256}")
_MOST: Final = 10_000


class NamedKeys:
    """Makes and finds them. Task-safe."""

    def __init__(self, *, index: Index, commits: CommitQueue, clock: Clock, entropy: Entropy, wrap: KeyWrap) -> None:
        """``wrap``: of the store."""
        self._index = index
        self._commits = commits
        self._clock = clock
        self._entropy = entropy
        self._wrap = wrap
        self._known: dict[str, bytes] = {}

    async def add(self, name: str, *, anew: bool = True) -> None:
        """Make a key. ``anew``: it must not exist yet.

        Raises:
            InvalidArgument: The name is not allowed.
            NamedKeyExists: There is one.
        """
        if _NAME.fullmatch(name) is None:
            raise InvalidArgument("key name", name, "1 to 256 letters, digits and / _ . : -")
        secret = self._entropy.secret(KEY_BYTES).hex()

        def make(tx: Writing) -> None:
            if tx.get(Table.META, PREFIX + name.encode()) is not None:
                if anew:
                    raise NamedKeyExists(f"a key named {name!r} exists")
                return
            row = NamedKey(self._wrap.wrap_secret(secret, _owner(name)), self._clock.now_us())
            tx.put(Table.META, PREFIX + name.encode(), encode(row))

        await self._commits.run(make)

    async def ensure(self, name: str) -> None:
        """Make a key where there is none."""
        if name not in self._known:
            try:
                self.get(name)
            except NamedKeyNotFound:
                await self.add(name, anew=False)

    async def list(self) -> list[tuple[str, int]]:
        """Names in order, and when each was made (microseconds)."""

        def look(tx: Reading) -> list[tuple[str, int]]:
            rows = tx.scan(Table.META, PREFIX, PREFIX[:-1] + b"0", _MOST)
            return [(key[len(PREFIX) :].decode(), decode(NamedKey, raw).created_us) for key, raw in rows]

        return self._index.read(look)

    def get(self, name: str) -> bytes:
        """The key's 32 bytes. Cost: one get, once.

        Raises:
            NamedKeyNotFound: There is none of this name.
        """
        known = self._known.get(name)
        if known is None:
            raw = self._index.read(lambda tx: tx.get(Table.META, PREFIX + name.encode("utf-8", "replace")))
            if raw is None:
                raise NamedKeyNotFound(f"there is no key named {name!r}")
            secret = self._wrap.unwrap_secret(decode(NamedKey, raw).wrapped, _owner(name))
            known = self._known[name] = bytes.fromhex(secret)
        return known


def _owner(name: str) -> str:
    """What the envelope is bound to: no access key has such an id."""
    return f"sse-key/{name}"
