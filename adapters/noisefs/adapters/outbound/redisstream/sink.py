"""A stream of a Redis server (or of Valkey, which speaks the same) that messages are added to.

It has a message when the server answers with the entry's number: how durable that is, is the server's ``appendonly``.
An entry has the fields ``id``, which is the same for a message that came twice, and ``body``, the JSON that a webhook
would be POSTed. Consumer groups take it from there.
"""

from typing import TYPE_CHECKING, Final

from noisefs.core.errors import EventRefused
from noisefs.core.ports.events import EventSink

if TYPE_CHECKING:
    pass

CONNECT_S: Final = 5.0


class RedisStream(EventSink):
    """One stream. Belongs to one event loop; connects when there is something to send."""

    def __init__(
        self,
        name: str,
        url: str,
        stream: str,
        *,
        timeout_s: float,
        user: str | None = None,
        password: str | None = None,
        most: int = 0,
    ) -> None:
        """``name``: what errors call it. ``most``: entries that the stream keeps, about; 0: all of them.

        Raises:
            ValueError: The URL is none of a Redis server.
        """
        from redis.asyncio import Redis  # only who configures one pays for the library
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        self._name = name
        self._stream = stream
        self._most = most or None
        self._closed = False
        self._redis: Redis = Redis.from_url(
            url,
            username=user,
            password=password,
            socket_timeout=timeout_s,
            socket_connect_timeout=min(timeout_s, CONNECT_S),
            retry=Retry(NoBackoff(), 0),
            max_connections=1,
            client_name="noisefs",
        )

    async def send(self, message_id: str, body: bytes) -> None:
        """Add it, within the limit. A kept connection that turns out to be closed is a refusal: it is sent again."""
        from redis.exceptions import RedisError

        if self._closed:
            raise EventRefused(self._name, "its connections are closed")
        try:
            await self._redis.xadd(self._stream, {"id": message_id, "body": body}, maxlen=self._most, approximate=True)
        except (RedisError, OSError) as exc:
            raise EventRefused(self._name, f"{type(exc).__name__}: {_code_of(exc)}") from exc

    async def close(self) -> None:
        """Close its connection; messages after that are refused."""
        self._closed = True
        await self._redis.aclose()


def _code_of(error: Exception) -> str:
    """The first word of what the server says (``NOAUTH``, ``OOM``, ``READONLY``): the rest may name what is private."""
    first = str(error).partition(" ")[0]
    return first if first.isupper() else "no answer"
