"""How long a node may take, and how we are let in."""

import base64
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class NodeLimits:
    """Seconds that a node gets before it counts as unavailable. Every wait has one of them."""

    connect_s: float = 5.0
    """To accept a connection."""
    answer_s: float = 30.0
    """For a short question, from sending it to the end of the answer."""
    state_s: float = 5.0
    """To say how it is."""
    stall_s: float = 30.0
    """Between two pieces of a stream, either way."""
    links_s: float = 30.0
    """From the end of an imported stream until its root is pinned: a node searches its swarm for missing links."""
    order_s: float = 120.0
    """Until an order reaches a peer of a cluster, which repeats lost messages every minute by default."""
    fetch_s: float = 900.0
    """To fetch a pack from others and pin it, as long as it advances."""
    list_s: float = 120.0
    """Until a list of all pins begins."""
    sweep_s: float = 1800.0
    """Between two signs of life of a garbage collection, which looks at every pin before its first."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A bearer token, or a user and a password; neither: no authorization is sent."""

    token: str = field(default="", repr=False)
    user: str = ""
    password: str = field(default="", repr=False)

    def header(self) -> str | None:
        """The value of ``Authorization``."""
        if self.token:
            return f"Bearer {self.token}"
        if self.user:
            return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")
        return None
