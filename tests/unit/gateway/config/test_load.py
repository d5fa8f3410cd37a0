"""Three sources become one configuration, or a message that says what to change."""

import re
from pathlib import Path

import pytest

from noisefs.core.errors import ConfigError
from noisefs.gateway.config.load import BadConfiguration, load
from noisefs.gateway.config.show import as_toml, markdown_table, setting_rows, shown


def message(**sources: object) -> str:
    """What loading says is wrong."""
    with pytest.raises(BadConfiguration) as caught:
        load(**{"environment": {}, **sources})  # type: ignore[arg-type]  # each test passes what it needs
    return str(caught.value)


def test_nothing_given_is_the_default() -> None:
    """An empty configuration serves on loopback."""
    loaded = load(environment={})
    assert str(loaded.config.s3.listen) == "127.0.0.1:9000"
    assert loaded.origins == {}


def test_flags_beat_the_environment_which_beats_the_file(tmp_path: Path) -> None:
    """Each source overrules the ones before it, field by field."""
    file = tmp_path / "noisefs.toml"
    file.write_text('workers = 2\nlog_level = "debug"\n[s3]\nregion = "file"\nlisten = "127.0.0.1:1"\n')
    environment = {"NOISEFS_S3__REGION": "environment", "NOISEFS_WORKERS": "3"}
    loaded = load(file, environment=environment, flags={"workers": 4, "s3.listen": None}, assignments=["s3.domain=d"])
    assert loaded.config.workers == 4
    assert loaded.config.s3.region == "environment"
    assert str(loaded.config.s3.listen) == "127.0.0.1:1"
    assert loaded.config.s3.domain == "d"
    assert loaded.config.log_level == "debug"
    assert loaded.origins == {
        "workers": "flag",
        "log_level": str(file),
        "s3.region": "NOISEFS_S3__REGION",
        "s3.listen": str(file),
        "s3.domain": "--set",
    }


def test_sizes_lists_and_addresses_have_short_forms() -> None:
    """What people write is understood."""
    config = load(
        environment={"NOISEFS_TRUSTED_PROXIES": "10.0.0.0/8, ::1", "NOISEFS_HOT__MAX_BYTES": "1 GiB"},
        assignments=["s3.listen=[::1]:0", "store.reserve_bytes=0"],
    ).config
    assert [str(network) for network in config.trusted_proxies] == ["10.0.0.0/8", "::1/128"]
    assert config.hot.max_bytes == 1 << 30
    assert (config.s3.listen.host, config.s3.listen.port) == ("::1", 0)


def test_tables_in_the_environment_are_json() -> None:
    """Lists of tables have no other form there."""
    text = '[{"name": "alice", "keys": [{"access_key": "A-KEY", "secret_key": "a-secret"}]}]'
    config = load(environment={"NOISEFS_USERS": text}).config
    assert config.users[0].keys[0].access_key == "A-KEY"


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("s3.listn=x", r"s3.listn is 'x': there is no such field; did you mean 'listen'? known are listen, region"),
        ("s3.listen=9000", "s3.listen is '9000': HOST:PORT is needed"),
        ("s3.listen=::1:9000", "an IPv6 address goes in brackets"),
        ("s3.listen=h:70000", "with a port from 0 to 65535"),
        ("store.sync=maybe", "store.sync is 'maybe': input should be 'fsync' or 'os'"),
        ("hot.max_bytes=lots", "a number of bytes is needed, such as 1048576 or 256MiB"),
        ("workers=0", "workers is '0': input should be greater than or equal to 1"),
        ("trusted_proxies=nowhere", "an IP address or network is needed"),
        ("public_urls.s3=ftp://x", "a URL of scheme http or https"),
        ("tls.key=k.pem", "certificate and key go together"),
        ("admin_access_key=A", "admin_access_key and admin_secret_key go together"),
        ('users=[{"name": "a", "keyz": []}]', "users.0.keyz is []: there is no such field; did you mean 'keys'?"),
        ("s3=yes", "s3 is 'yes'"),
    ],
)
def test_what_is_wrong_is_said_with_field_value_and_what_is_allowed(assignment: str, said: str) -> None:
    """One line that tells what to write instead."""
    assert said in message(assignments=[assignment])


def test_every_problem_is_listed() -> None:
    """One round of corrections, not five."""
    lines = message(assignments=["workers=0", "store.sync=x"]).splitlines()
    assert len(lines) == 2
    assert all("(set by --set)" in line for line in lines)


def test_secrets_are_never_repeated() -> None:
    """A refused secret does not end in a log."""
    said = message(environment={"NOISEFS_ADMIN__TOKEN": "tooshort"})
    assert "tooshort" not in said
    assert "(hidden)" in said


def test_unknown_variables_are_refused_but_not_those_of_others() -> None:
    """A typo never means the default; Kubernetes' own variables and flags are no settings."""
    assert "foo is 'x': there is no such field" in message(environment={"NOISEFS_FOO": "x"})
    others = {
        "NOISEFS_PORT": "tcp://10.0.0.1:9000",
        "NOISEFS_PORT_9000_TCP_ADDR": "10.0.0.1",
        "NOISEFS_S3_SERVICE_HOST": "10.0.0.1",
        "NOISEFS_SERVICE_PORT_WEBDAV": "9001",
        "NOISEFS_DATA": "/srv",
        "NOISEFS_TEST_SEED": "1",
        "OTHER": "1",
    }
    assert load(environment=others).origins == {}


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    """Missing, and not TOML."""
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "absent.toml", environment={})
    (tmp_path / "bad.toml").write_text("= nothing")
    with pytest.raises(ConfigError, match="not TOML"):
        load(tmp_path / "bad.toml", environment={})


def test_what_is_shown_can_be_loaded_and_has_no_secrets(tmp_path: Path) -> None:
    """``config show`` prints TOML that says the same, secrets apart."""
    loaded = load(environment={"NOISEFS_S3__REGION": "eu-west-1", "NOISEFS_ADMIN__TOKEN": "sixteen-characters"})
    text = as_toml(shown(loaded.config), loaded.origins)
    assert "sixteen-characters" not in text
    assert 'region = "eu-west-1"  # set by NOISEFS_S3__REGION' in text
    (tmp_path / "shown.toml").write_text(text.replace("(hidden)", "sixteen-characters"))
    assert load(tmp_path / "shown.toml", environment={}).config == loaded.config


def test_every_setting_is_documented() -> None:
    """The README's table has a purpose for each, and a variable for each that is no list."""
    rows = list(setting_rows())
    assert len(rows) > 40
    assert all(purpose.endswith(".") for _, _, _, purpose in rows)
    assert markdown_table().count("\n") == len(rows) + 2


NODES = (
    '[{"api": "http://10.0.0.5:5001", "token": "open sesame"}, {"api": "http://b:5001", "name": "b", "drain": true}]'
)


def test_nodes_have_names_and_secrets_that_nobody_sees() -> None:
    """A node without a name is called as its address; its token is in no output."""
    loaded = load(environment={"NOISEFS_IPFS__NODES": NODES}, assignments=["ipfs.gc_windows=01:30-05:00, 22:00-24:00"])
    first, second = loaded.config.ipfs.nodes
    assert (first.known_as, second.known_as, second.drain) == ("10.0.0.5:5001", "b", True)
    assert loaded.config.ipfs.gc_windows == ("01:30-05:00", "22:00-24:00")
    assert "sesame" not in as_toml(shown(loaded.config), loaded.origins)
    assert load(environment={"NOISEFS_IPFS__NODES": NODES, "NOISEFS_STORE__DURABILITY": "replicated:2"}).config


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        ('ipfs.nodes=[{"api": "http://a:1"}, {"api": "http://a:1"}]', "two nodes are called 'a:1'"),
        ('ipfs.nodes=[{"api": "http://a:1", "user": "me"}]', "a user with a password"),
        ('ipfs.nodes=[{"api": "http://a:1", "token": "t", "token_file": "f"}]', "a token, a token_file"),
        ('ipfs.nodes=[{"api": "a:1"}]', "scheme http"),
        ('ipfs.nodes=[{"api": "http://a:1", "kind": "cluster"}]', "a cluster needs it"),
        ('ipfs.nodes=[{"api": "http://a:1", "name": "two words"}]', "pattern"),
        ("ipfs.gc_windows=5-6", "HH:MM-HH:MM"),
        ("ipfs.copies=17", "less than or equal to 16"),
        ("store.durability=ipfs", "needs nodes"),
        ("store.durability=twice", "replicated:n"),
        ('buckets=[{"name": "safe", "owner": "admin", "durability": "replicated:3"}]', "of safe needs nodes"),
    ],
)
def test_bad_nodes_and_classes_are_refused(assignment: str, told: str) -> None:
    """Each with what is allowed."""
    with pytest.raises(BadConfiguration, match=re.escape(told)):
        load(environment={}, assignments=[assignment])


@pytest.mark.parametrize(
    "assignment",
    ["webdav.trash_name=..", "webdav.trash_name=a/b", "webdav.trash_name=.versions", "webdav.wrong_logins_a_minute=-1"],
)
def test_names_of_the_shares_own_collections_are_checked(assignment: str) -> None:
    """No path, and not the same twice; empty ones are none."""
    assert "webdav" in message(assignments=[assignment])
    config = load(environment={}, assignments=["webdav.trash_name=", "webdav.versions_name="]).config
    assert (config.webdav.trash_name, config.webdav.versions_name) == ("", "")
