"""A process of the store behind a socket of this machine, or at a URL."""

from collections.abc import Sequence
from typing import Final

import aiohttp

from noisefs.core.domain.caching import peering
from noisefs.core.domain.caching.peering import Answer, Question
from noisefs.core.domain.ids import BodyId
from noisefs.core.domain.sealing.keys import Label, derive
from noisefs.core.domain.sealing.store_keys import StoreKeys
from noisefs.core.errors import InvalidArgument, Unavailable
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.peers import Peer

CONNECT_S: Final = 1.0
CONNECTIONS: Final = 8
_OK: Final = 200


class HttpPeer(Peer):
    """Belongs to one event loop; connects when there is something to ask."""

    def __init__(self, name: str, *, keys: StoreKeys, clock: Clock, socket_path: str = "", url: str = "") -> None:
        """``socket_path`` or ``url``: where it listens; a URL has no path."""
        self._name = name
        self._key = derive(keys.store_key, Label.PEERS)
        self._clock = clock
        self._socket_path = socket_path
        self._url = url or "http://peer"
        self._session: aiohttp.ClientSession | None = None

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    async def cells(self, body_id: BodyId, segments: Sequence[int], *, slices: bool, timeout_s: float) -> list[Answer]:
        """Ask it."""
        body = peering.encode_question(Question(body_id, tuple(segments), slices))
        headers = {peering.PROOF: peering.prove(self._key, self._clock.now_us() // 1_000_000, body)}
        limit = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_S)
        try:
            async with self._open().post(
                self._url + peering.PATH, data=body, headers=headers, timeout=limit, allow_redirects=False
            ) as response:
                if response.status != _OK:
                    raise Unavailable(f"peer {self._name} answered {response.status}")
                return peering.decode_answers(await response.read())
        except TimeoutError as exc:
            raise Unavailable(f"peer {self._name} did not answer within {timeout_s:g} s") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise Unavailable(f"peer {self._name} cannot be asked: {type(exc).__name__}") from exc
        except InvalidArgument as exc:
            raise Unavailable(f"peer {self._name} answered nonsense: {exc}") from exc

    async def close(self) -> None:
        """Close its connections."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector: aiohttp.BaseConnector
            if self._socket_path:
                connector = aiohttp.UnixConnector(self._socket_path, limit=CONNECTIONS)
            else:
                connector = aiohttp.TCPConnector(limit=CONNECTIONS)
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
            )
        return self._session
