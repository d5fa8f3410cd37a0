"""A receiver that is POSTed JSON, each message signed.

It has a message when it answers 2xx; whatever else it answers is a refusal, a redirection too: events go only where the
operator said. A status that speaks of the message itself rejects it for good. Of an answer's body nothing is read.
"""

from typing import Final

import aiohttp
from yarl import URL

from noisefs.adapters.outbound.webhook.signing import key_of, signed_headers
from noisefs.core.errors import EventRefused, EventRejected
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.events import EventSink

CONNECT_S: Final = 5.0
_KEEP_S: Final = 30
_OK: Final = range(200, 300)
_NEVER: Final = frozenset({400, 413, 415, 422})
"""What a receiver says to a message that is wrong, too large, of another kind or not to be processed. Everything else,
401, 404 and 410 among them, may be mended at the receiver, and then the message is wanted."""


class Webhook(EventSink):
    """One URL. Belongs to one event loop; connects when there is something to send."""

    def __init__(self, name: str, url: str, secret: str, *, clock: Clock, timeout_s: float) -> None:
        """``name``: what errors call it; they never name the URL, which may hold a secret of its own.

        Raises:
            InvalidArgument: The secret is none.
        """
        self._name = name
        self._url = URL(url)
        self._key = key_of(secret)
        self._clock = clock
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def send(self, message_id: str, body: bytes) -> None:
        """POST it, within the limit. A kept connection that turns out to be closed is a refusal: it is sent again."""
        if self._closed:
            raise EventRefused(self._name, "its connections are closed")
        headers = signed_headers(self._key, message_id, self._clock.now_us() // 1_000_000, body)
        try:
            response = await self._open().post(self._url, data=body, headers=headers, allow_redirects=False)
            response.release()  # which closes the connection too, unless the answer has ended
        except TimeoutError as exc:
            raise EventRefused(self._name, f"no answer within {self._timeout_s:g} s") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise EventRefused(self._name, type(exc).__name__) from exc
        if response.status in _NEVER:
            raise EventRejected(self._name, f"it answered {response.status}")
        if response.status not in _OK:
            raise EventRefused(self._name, f"it answered {response.status}")

    async def close(self) -> None:
        """Close its connections; messages after that are refused."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=1, keepalive_timeout=_KEEP_S),
                timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=CONNECT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "noisefs", "Content-Type": "application/json"},
            )
        return self._session
