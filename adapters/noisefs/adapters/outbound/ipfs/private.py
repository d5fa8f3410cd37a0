"""What a Kubo repository of ours is set to: a private swarm that announces nothing, looks nothing up, calls nobody.

Fields as in Kubo's docs/config.md. A swarm key alone keeps strangers out; the rest keeps the node from asking public
services for addresses, certificates, routes, versions and names, and from reporting its use.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

SWARM_KEY_BYTES: Final = 32

ENVIRONMENT: Final[Mapping[str, str]] = {
    "LIBP2P_FORCE_PNET": "1",
    "IPFS_TELEMETRY": "off",
    "DO_NOT_TRACK": "1",
    "GOGC": "200",
}
"""Of the daemon. The first one makes it refuse to start when the swarm key is gone. The last one halves how often it
collects what each block that it reads leaves behind: a fifth less CPU for reads, 40 MB more memory; imports stay as
they are, and 400 gains no more.
"""

PRIVATE: Final[Mapping[str, object]] = {
    "Addresses.Announce": [],
    "Addresses.AppendAnnounce": [],
    "AutoConf.Enabled": False,
    "AutoNAT.ServiceMode": "disabled",
    "AutoTLS.Enabled": False,
    "Bootstrap": [],
    "DNS.Resolvers": {},
    "Discovery.MDNS.Enabled": False,
    "Gateway.DeserializedResponses": False,
    "Gateway.DisableHTMLErrors": True,
    "Gateway.ExposeRoutingAPI": False,
    "Gateway.NoDNSLink": True,
    "HTTPRetrieval.Enabled": False,
    "Import.FastProvideRoot": False,
    "Ipns.DelegatedPublishers": [],
    "Plugins.Plugins.telemetry.Config.Mode": "off",
    "Provide.Enabled": False,
    "Routing.DelegatedRouters": [],
    "Routing.Type": "none",
    "Swarm.DisableBandwidthMetrics": True,
    "Swarm.DisableNatPortMap": True,
    "Swarm.EnableHolePunching": False,
    "Swarm.RelayClient.Enabled": False,
    "Swarm.RelayService.Enabled": False,
    "Swarm.Transports.Network.QUIC": False,
    "Swarm.Transports.Network.Relay": False,
    "Swarm.Transports.Network.WebRTCDirect": False,
    "Swarm.Transports.Network.WebTransport": False,
    "Swarm.Transports.Network.Websocket": False,
    "Version.SwarmCheckEnabled": False,
}
"""Path of a field and its value. QUIC, WebRTC and WebTransport know no swarm key."""


def swarm_key(secret: bytes) -> str:
    """The file ``swarm.key`` that every node of the swarm has in its repository."""
    if len(secret) != SWARM_KEY_BYTES:
        raise ValueError(f"a swarm key has {SWARM_KEY_BYTES} bytes, not {len(secret)}")
    return f"/key/swarm/psk/1.0.0/\n/base16/\n{secret.hex()}\n"


def apply_private_settings(
    config: dict[str, Any],  # Any: Kubo's own file, most of which we pass through
    *,
    swarm: Sequence[str],
    api: str,
    gateway: str,
    sync: bool = True,
) -> None:
    """Change a Kubo configuration to ours.

    Args:
        config: The content of the repository's file ``config``.
        swarm: Multiaddresses to listen on for other nodes, TCP.
        api: Multiaddress of the RPC. Whoever reaches it rules the node.
        gateway: Multiaddress of the trustless gateway, which only reads.
        sync: Write blocks to the disk before they are acknowledged.
    """
    for path, value in PRIVATE.items():
        set_field(config, path, value)
    set_field(config, "Addresses.Swarm", list(swarm))
    set_field(config, "Addresses.API", api)
    set_field(config, "Addresses.Gateway", gateway)
    for mount in config["Datastore"]["Spec"]["mounts"]:
        if mount["type"] == "flatfs":
            mount["sync"] = sync


def set_field(config: dict[str, Any], path: str, value: object) -> None:  # Any: as above
    """Set one field, named by its path with dots."""
    *folders, name = path.split(".")
    for folder in folders:
        if not isinstance(config.get(folder), dict):
            config[folder] = {}
        config = config[folder]
    config[name] = value


def why_public(config: Mapping[str, object], *, has_swarm_key: bool | None) -> str:
    """Why a node with these settings takes part in the public network; empty if it does not.

    Args:
        config: What ``config/show`` answers.
        has_swarm_key: Whether its swarm has a key; ``None`` where nobody can tell.
    """
    if has_swarm_key:
        return ""
    reasons = []
    routing = _field(config, "Routing.Type") or "auto"
    if routing != "none":
        reasons.append(f"Routing.Type is {routing!r}")
    if bootstrap := _field(config, "Bootstrap"):
        reasons.append(f"Bootstrap has {len(cast(Sequence[object], bootstrap))} entries")
    if _field(config, "Provide.Enabled") is not False:
        reasons.append("Provide is on")
    if has_swarm_key is False and _reachable(config):
        reasons.append("strangers can connect: there is no swarm key")
    return "; ".join(reasons)


def _reachable(config: Mapping[str, object]) -> bool:
    listening = _field(config, "Addresses.Swarm")
    loopback = re.compile(r"/ip4/127\.|/ip6/::1/")
    return not isinstance(listening, list) or any(not loopback.match(str(address)) for address in listening)


def _field(config: Mapping[str, object], path: str) -> object:
    value: object = config
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
