"""Whatever an operator may choose about the network can be chosen in the configuration, with the same default."""

import dataclasses

from noisefs.core.services.network.service import NetworkSettings
from noisefs.gateway.config.schema import IpfsConfig
from noisefs.gateway.networking import network_settings

CHOSEN = {
    "nodes": [{"api": "http://127.0.0.1:5001", "name": "one", "drain": True}],
    "copies": 3,
    "public": True,
    "min_free_bytes": "3GiB",
    "min_free_inodes": 3,
    "uploads_at_once": 3,
    "upload_bytes_per_s": "3MiB",
    "down_after_s": 3,
    "health_every_s": 3,
    "verify_every_s": 3,
    "reconcile_every_s": 3,
    "gc_windows": ["01:30-05:00"],
}


def test_nothing_chosen_is_what_the_network_takes_by_itself() -> None:
    assert network_settings(IpfsConfig()) == NetworkSettings()


def test_every_setting_of_the_network_can_be_chosen() -> None:
    settings, defaults = network_settings(IpfsConfig.model_validate(CHOSEN)), NetworkSettings()
    fields = [field.name for field in dataclasses.fields(NetworkSettings)]
    assert [name for name in fields if getattr(settings, name) == getattr(defaults, name)] == []
    assert (settings.uploads_at_once, settings.reconcile_every_s) == (3, 3)
