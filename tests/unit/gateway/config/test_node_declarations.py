"""Which nodes a configuration may declare, and what becomes of them."""

import pytest
from pydantic import ValidationError

from noisefs.adapters.outbound.ipfs.cluster import ClusterNode
from noisefs.adapters.outbound.ipfs.node import KuboNode
from noisefs.adapters.outbound.memory.telemetry import MemoryTelemetry
from noisefs.core.errors import InvalidArgument
from noisefs.gateway.config.schema import IpfsConfig
from noisefs.gateway.networking import nodes_of

KUBO = {"api": "http://127.0.0.1:5001", "zone": "here", "managed": True, "token": "sesame"}
CLUSTER = {"api": "http://127.0.0.1:9094", "kind": "cluster", "kubo": "http://127.0.0.1:5001", "name": "ours"}


async def test_each_kind_becomes_a_node_of_its_own() -> None:
    config = IpfsConfig.model_validate({"nodes": [KUBO, CLUSTER]})
    kubo, cluster = nodes_of(config, MemoryTelemetry())
    assert isinstance(kubo, KuboNode)
    assert (kubo.name, kubo.zone, kubo.managed) == ("127.0.0.1:5001", "here", True)
    assert isinstance(cluster, ClusterNode)
    assert (cluster.name, cluster.zone, cluster.managed) == ("ours", "ours", False)
    for node in (kubo, cluster):
        await node.close()


@pytest.mark.parametrize(
    "node",
    [
        {**KUBO, "kubo": "http://127.0.0.1:5002"},
        {name: value for name, value in CLUSTER.items() if name != "kubo"},
        {**CLUSTER, "managed": True},
        {**KUBO, "user": "ali"},
        {**KUBO, "api": "ftp://127.0.0.1"},
    ],
)
def test_what_cannot_be_is_refused(node: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        IpfsConfig.model_validate({"nodes": [node]})


def test_credentials_in_an_address_are_refused_and_not_shown() -> None:
    config = IpfsConfig.model_validate({"nodes": [{"api": "http://ali:sesame@127.0.0.1:5001", "name": "it"}]})
    with pytest.raises(InvalidArgument, match="fields of their own") as refused:
        nodes_of(config, MemoryTelemetry())
    assert "sesame" not in str(refused.value)
