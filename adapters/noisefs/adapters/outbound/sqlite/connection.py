"""Opening one connection to the encrypted index, and the statements it runs.

Cipher: AEGIS-256 (CFRG draft-irtf-cfrg-aegis-aead), which authenticates each page under a random 256-bit nonce.
Measured on one core, five rows and a 4 KiB blob an operation, groups of 32, CPU µs an operation: no cipher 95,
aegis-256 94, aes256cbc (no authentication) 145, chacha20-poly1305 162, ascon128 319, sqlcipher (AES and HMAC) 326.
"""

from typing import Final, Literal

import apsw

Sync = Literal["fsync", "os"]

KEY_BYTES: Final = 32
_STATEMENTS_CACHED: Final = 256
BUSY_MS: Final = 10_000
"""Only another process's checkpoint can keep a statement waiting."""
_READ_CACHE_KIB: Final = 8192
_WRITE_CACHE_KIB: Final = 32_768
_MC_PREFIX: Final = "multipleciphers-"
"""SQLite3 Multiple Ciphers makes an encrypting layer over the VFS whose name follows this."""


def connect(path: str, key: bytes, *, sync: Sync, vfs: str | None, exclusive: bool, writer: bool) -> apsw.Connection:
    """A keyed connection. Nothing was read yet, so a wrong key shows only at the first statement."""
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    layered = None if vfs is None else _MC_PREFIX + vfs
    conn = apsw.Connection(path, flags=flags, vfs=layered, statementcachesize=_STATEMENTS_CACHED)
    conn.set_busy_timeout(BUSY_MS)
    if exclusive:  # before anything else: without shared memory the log can be read in no other mode
        conn.pragma("locking_mode", "exclusive")
    conn.pragma("cipher", "aegis")
    conn.pragma("algorithm", "aegis-256")
    conn.pragma("key", "raw:" + key.hex())
    conn.pragma("temp_store", "memory")
    conn.pragma("cache_size", -(_WRITE_CACHE_KIB if writer else _READ_CACHE_KIB))
    conn.pragma("trusted_schema", False)
    if writer:
        conn.pragma("synchronous", "full" if sync == "fsync" else "off")
        conn.pragma("secure_delete", True)
        conn.wal_autocheckpoint(0)
    return conn
