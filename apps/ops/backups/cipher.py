"""Sealing a stream: AES-256-GCM in chunks, so that a dump of any size needs little memory and no damage goes unseen.

Layout: magic, key name, salt; then chunks of ciphertext with their tag. Each stream has a key of its own (HKDF of the
file's key and the salt). A chunk's nonce is its number and whether it is the last one, so that chunks cannot be
exchanged, repeated or cut off (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár, 2015).
"""

import os
from collections.abc import Iterable, Iterator
from typing import IO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from apps.ops.backups import keyfile
from apps.ops.backups.errors import BackupUnusable

MAGIC: Final = b"TSBACKUP1\n"
SALT: Final = 32
PLAIN: Final = 1 << 20  # bytes of plain text per chunk
TAG: Final = 16
_NAME: Final = 8
_HEAD: Final = len(MAGIC) + _NAME + SALT


def seal(chunks: Iterable[bytes], key: bytes) -> Iterator[bytes]:
    """Yield the sealed stream of these bytes."""
    head = MAGIC + keyfile.fingerprint(key).encode() + os.urandom(SALT)
    cipher = _cipher(key, head)
    yield head
    number, waiting = 0, bytearray()
    for chunk in chunks:
        waiting += chunk
        while len(waiting) > PLAIN:
            yield cipher.encrypt(_nonce(number, last=False), bytes(waiting[:PLAIN]), head)
            del waiting[:PLAIN]
            number += 1
    yield cipher.encrypt(_nonce(number, last=True), bytes(waiting), head)


def unseal(file: IO[bytes], key: bytes, *, what: str) -> Iterator[bytes]:
    """Yield the bytes that were sealed. Raises BackupUnusable for another key, damage, or a file that was cut off."""
    head = file.read(_HEAD)
    if len(head) < _HEAD or not head.startswith(MAGIC):
        raise BackupUnusable(f"{what} is no sealed dump, or its beginning is damaged.")
    name = head[len(MAGIC) : len(MAGIC) + _NAME].decode(errors="replace")
    if name != keyfile.fingerprint(key):
        raise wrong_key(what, name, key)
    cipher, number = _cipher(key, head), 0
    chunk = file.read(PLAIN + TAG)
    while True:
        following = file.read(PLAIN + TAG)
        try:
            yield cipher.decrypt(_nonce(number, last=not following), chunk, head)
        except InvalidTag:
            raise BackupUnusable(f"{what} is damaged or cut off, near byte {_HEAD + number * (PLAIN + TAG)}.") from None
        if not following:
            return
        chunk, number = following, number + 1


def wrong_key(what: str, name: str, key: bytes) -> BackupUnusable:
    """Return the refusal of a key that is not the one."""
    return BackupUnusable(
        f"{what} is sealed with the key {name}, but BACKUP_KEY_FILE holds the key {keyfile.fingerprint(key)}: name the "
        "file that was in use when the backup was taken."
    )


def _cipher(key: bytes, head: bytes) -> AESGCM:
    derived = HKDF(algorithm=SHA256(), length=32, salt=head[-SALT:], info=b"tradingsite backup stream").derive(key)
    return AESGCM(derived)


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])
