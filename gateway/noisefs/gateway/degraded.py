"""What does not work as it should while a server is ready all the same: for whoever looks after it."""

from collections.abc import Awaitable, Callable

from noisefs.core.services.network.service import Network

Degraded = Callable[[], Awaitable[list[str]]]
"""Says what is degraded, in words; nothing: all is well."""


def degraded_of(network: Network) -> Degraded:
    """For a store with these nodes."""

    async def look() -> list[str]:
        found: list[str] = []
        for report in await network.report():
            if report.configured and not report.ready:
                reason = (
                    "not asked yet" if report.state is None else report.state.reason or "left alone after a failure"
                )
                found.append(f"node {report.name}: {reason.removeprefix(f'node {report.name}: ')}")
        census = await network.census.look()
        lacking = census.under_replicated
        if census.damaged_copies:
            found.append(f"{census.damaged_copies} copies on nodes are damaged")
        if network.mending.beyond:
            found.append(f"{len(network.mending.beyond)} of them cannot be mended: nothing else has their bytes")
        if lacking:
            found.append(f"{lacking} packs or files have fewer copies on nodes than they shall have")
        return found

    return look
