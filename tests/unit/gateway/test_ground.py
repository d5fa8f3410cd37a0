"""What a store stands on: settings that become a process's own."""

from noisefs.gateway.config.schema import Config
from noisefs.gateway.ground import store_settings


def test_workers_share_the_memory_that_is_set() -> None:
    """However many processes serve, together they keep within it."""
    alone, one_of_four = store_settings(Config()), store_settings(Config(workers=4))
    assert one_of_four.hot_bytes * 4 == alone.hot_bytes == Config().hot.max_bytes
    assert one_of_four.write_buffer_bytes * 4 == alone.write_buffer_bytes
    assert one_of_four.read_buffer_bytes * 4 == alone.read_buffer_bytes
    assert store_settings(Config(workers=64)).read_buffer_bytes > 0


def test_no_memory_for_the_hot_tier_is_none_for_every_worker() -> None:
    none = Config().hot.model_copy(update={"max_bytes": 0})
    assert store_settings(Config(workers=3, hot=none)).hot_bytes == 0
