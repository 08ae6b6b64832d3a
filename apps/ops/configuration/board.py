"""A few kilobytes that a process shares with those it forks: one writes, the others read, nobody waits."""

import mmap
import struct
import zlib
from typing import Final

SIZE: Final = 64 * 1024
_HEAD: Final = struct.Struct("=qII")  # version, length and checksum of the text
_NUMBER: Final = struct.Struct("=q")


class Board:
    """A version and a text. A reader that meets a half-written text sees so by its checksum and looks again later."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, SIZE)

    @property
    def version(self) -> int:
        """The number posted last; 0 when there is none."""
        return int(_NUMBER.unpack_from(self._memory)[0])

    def post(self, version: int, text: str) -> None:
        """Write both; the text must fit."""
        body = text.encode()
        if len(body) > SIZE - _HEAD.size:
            raise ValueError(f"{len(body)} bytes do not fit on a board of {SIZE}.")
        self._memory[_HEAD.size : _HEAD.size + len(body)] = body
        _HEAD.pack_into(self._memory, 0, version, len(body), zlib.crc32(body))

    def read(self) -> tuple[int, str] | None:
        """Return version and text, None while they are being written."""
        version, length, checksum = _HEAD.unpack_from(self._memory)
        body = bytes(self._memory[_HEAD.size : _HEAD.size + length])
        return (version, body.decode()) if zlib.crc32(body) == checksum else None
