"""Port ``EventSink``: where events of objects are told to somebody outside."""

from abc import ABC, abstractmethod


class EventSink(ABC):
    """One receiver. Belongs to one event loop; one message at a time."""

    @abstractmethod
    async def send(self, message_id: str, body: bytes) -> None:
        """Hand a message over, and return once the receiver said that it has it.

        May be retried: a message that is sent again has the same id. A cancelled call leaves it open whether it came.
        Every wait has a limit.

        Raises:
            EventRefused: It did not take it, or said nothing in time.
            EventRejected: It says that it will never take this one.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let go of connections."""
