"""Receivers of events in the configuration: named once, with one secret, at a URL."""

from pathlib import Path

import pytest

from noisefs.core.errors import ConfigError
from noisefs.gateway.config.load import BadConfiguration, Loaded, load
from noisefs.gateway.config.show import shown
from noisefs.gateway.hooks import event_settings, sinks_of
from tests.support.stores import MemoryParts

HOOK = '[[events.webhooks]]\nname = "hook"\nurl = "https://example.org/in?token=1"\n'
SECRET = 'secret = "a secret of enough bytes"\n'


def loaded(folder: Path, text: str) -> Loaded:
    """The configuration in a file of this text."""
    file = folder / "noisefs.toml"
    file.write_text(text)
    return load(file, environment={})


def test_a_receiver_has_a_name_a_url_and_a_secret(tmp_path: Path) -> None:
    (hook,) = loaded(tmp_path, HOOK + SECRET).config.events.webhooks
    assert (hook.name, hook.url) == ("hook", "https://example.org/in?token=1")
    assert hook.secret is not None


def test_the_secret_is_not_shown(tmp_path: Path) -> None:
    assert "enough bytes" not in str(shown(loaded(tmp_path, HOOK + SECRET).config))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HOOK, "one of secret and secret_file is needed"),
        (HOOK + SECRET + 'secret_file = "x"\n', "one of secret and secret_file is needed"),
        (HOOK + 'secret = "short"\n', "at least 16"),
        (HOOK + SECRET + HOOK + SECRET, "two webhooks are called 'hook'"),
        (HOOK.replace("https:", "ftp:") + SECRET, "a URL of scheme http or https"),
        (HOOK.replace("example.org", "user:word@example.org") + SECRET, "without a user"),
        (HOOK.replace("example.org", "example.org:99999") + SECRET, "a URL of scheme http or https"),
        (HOOK.replace('"hook"', '"a:b"') + SECRET, "name"),
        ("[events]\nqueue_max = 0\n", "queue_max"),
    ],
)
def test_what_is_wrong_is_refused_and_no_secret_repeated(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadConfiguration) as refused:
        loaded(tmp_path, text)
    assert said in str(refused.value)
    assert "enough bytes" not in str(refused.value)
    assert "word" not in str(refused.value)
    assert "token=1" not in str(refused.value)


REDIS = '[[events.redis]]\nname = "hook"\nurl = "redis://example.org:6379/0"\n'


async def test_a_redis_receiver_may_be_called_like_a_webhook(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("pass\n")
    config = loaded(tmp_path, f'{HOOK}{SECRET}{REDIS}password_file = "{tmp_path / "password"}"\n').config
    async with sinks_of(config, MemoryParts().clock) as sinks:
        assert list(sinks) == ["hook", "hook:redis"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (REDIS + REDIS, "two redis receivers are called 'hook'"),
        (REDIS.replace("redis://", "http://"), "a URL of scheme redis"),
        (REDIS.replace("example.org", "user:word@example.org"), "without a user"),
        (REDIS.replace("/0", "/0?db=1"), "a URL of scheme redis"),
        (REDIS + 'password = "word"\npassword_file = "x"\n', "password"),
        (REDIS + "max_entries = -1\n", "max_entries"),
    ],
)
def test_what_is_wrong_about_redis_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadConfiguration) as refused:
        loaded(tmp_path, text)
    assert said in str(refused.value)
    assert "word@" not in str(refused.value)


async def test_secrets_are_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a secret of enough bytes\n")
    config = loaded(tmp_path, f'{HOOK}secret_file = "{tmp_path / "secret"}"\n').config
    async with sinks_of(config, MemoryParts().clock) as sinks:
        assert list(sinks) == ["hook"]


@pytest.mark.parametrize("content", [None, "", "short\n", "whsec_%%%%%%%%%%%%%%%%\n"])
async def test_a_file_without_a_secret_is_refused_by_the_receivers_name(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "secret").write_text(content)
    config = loaded(tmp_path, f'{HOOK}secret_file = "{tmp_path / "secret"}"\n').config
    with pytest.raises(ConfigError, match="hook") as refused:
        async with sinks_of(config, MemoryParts().clock):
            pass
    assert not content or not content.strip() or content.strip() not in str(refused.value)


def test_settings_are_those_of_the_configuration(tmp_path: Path) -> None:
    text = '[s3]\nregion = "eu"\n[events]\nqueue_max = 5\nmax_age_s = 6\nbatch = 7\nretry_max_s = 8\n'
    found = event_settings(loaded(tmp_path, text).config)
    assert (found.region, found.queue_most, found.max_age_s) == ("eu", 5, 6)
    assert (found.batch_most, found.retry_most_s) == (7, 8)
