"""Where the root key comes from: a file of mode 0600, or a passphrase from configuration, a file or a terminal."""

import stat
import sys
from collections.abc import Callable
from getpass import getpass
from pathlib import Path

from noisefs.core.domain.sealing.keyring import Passphrase, format_root_key, parse_root_key
from noisefs.core.domain.sealing.keys import KEY_BYTES, SALT_BYTES
from noisefs.core.errors import ConfigError, WrongRootKey
from noisefs.core.ports.disk import Disk, atomic_write
from noisefs.core.ports.entropy import Entropy
from noisefs.gateway.config.schema import RootKeyConfig
from noisefs.gateway.folder import Folder

Ask = Callable[[str], str]
"""Asks a person for a passphrase."""


def fetch(config: RootKeyConfig, folder: Folder, passphrase: Passphrase | None, ask: Ask | None = None) -> bytes:
    """The root key of an existing store. With a passphrase it takes half a second.

    Args:
        config: Where it is.
        folder: The store's.
        passphrase: The parameters in the head; ``None``: the store has a key file.
        ask: How to get a passphrase that is not configured; by default the terminal, where there is one.

    Raises:
        WrongRootKey: There is no key, it is readable for others, or it is no key at all.
    """
    if passphrase is None:
        return read_key(config.file or folder.root_key)
    return passphrase.stretch(phrase_of(config, ask))


def phrase_of(config: RootKeyConfig, ask: Ask | None = None) -> str:
    """The passphrase: the configured one, else asked for.

    Raises:
        WrongRootKey: None is configured, and there is nobody to ask.
    """
    phrase = configured_phrase(config)
    if phrase is not None:
        return phrase
    if ask is None and not sys.stdin.isatty():
        raise WrongRootKey("the store needs a passphrase: set root_key.passphrase_file or NOISEFS_ROOT_KEY__PASSPHRASE")
    return (ask or getpass)("Passphrase of the store: ")


def make(config: RootKeyConfig, folder: Folder, disk: Disk, entropy: Entropy) -> tuple[bytes, Passphrase | None]:
    """The root key of a new store: from the configured passphrase, else a new random one in its file.

    A key file that is there already (a mounted secret) is used as it is.
    """
    phrase = configured_phrase(config)
    if phrase is not None:
        passphrase = Passphrase(entropy.secret(SALT_BYTES))
        return passphrase.stretch(phrase), passphrase
    path = config.file or folder.root_key
    if path.exists():
        return read_key(path), None
    key = entropy.secret(KEY_BYTES)
    atomic_write(disk, str(path), format_root_key(key).encode())
    return key, None


def configured_phrase(config: RootKeyConfig) -> str | None:
    """The passphrase that the configuration gives or points to."""
    if config.passphrase is not None:
        return config.passphrase.get_secret_value()
    if config.passphrase_file is not None:
        return first_line("root_key.passphrase_file", config.passphrase_file)
    return None


def first_line(field: str, path: Path) -> str:
    """The first line of a file that holds a secret.

    Raises:
        ConfigError: It cannot be read, or is empty.
    """
    try:
        line = path.read_text(encoding="utf-8").split("\n", 1)[0].rstrip("\r")
    except OSError as exc:
        raise ConfigError(field, str(path), f"the file cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(field, str(path), "the file must hold text") from exc
    if not line:
        raise ConfigError(field, str(path), "the file's first line is empty")
    return line


def read_key(path: Path) -> bytes:
    """The root key in a file of mode 0600.

    Raises:
        WrongRootKey: There is none, others may read it, or it is no key at all.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError as exc:
        raise WrongRootKey(
            f"the root key file {str(path)!r} is missing: put back the one this store was made with"
        ) from exc
    except OSError as exc:
        raise WrongRootKey(f"the root key file {str(path)!r} cannot be read: {exc.strerror}") from exc
    if mode & 0o027:  # a group may read it: mounted secrets are often root:group 0440
        raise WrongRootKey(
            f"the root key file {str(path)!r} has mode {mode:04o}: others must not read it; chmod 600 it"
        )
    return parse_root_key(text)
