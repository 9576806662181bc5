"""Cut off what only a debugger reads of shared objects: symbols, line numbers, the table of sections.

Usage: strip.py FILE…

A loader maps segments, and what stands behind the last of them it never sees. binutils' `strip` knows
more, but is not in a slim image: with this one a build asks no index of Debian's packages. The format:
https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html
"""

import sys
from pathlib import Path
from struct import pack_into, unpack_from

ELF_64_BIT_LITTLE_ENDIAN = b"\x7fELF\x02\x01"
# A smaller tail may as well stay: scanners look into it for the names of libraries inside.
WORTH_IT_BYTES = 100_000


def stripped(elf: bytes) -> bytes:
    """The same object for a loader. What is not for this machine's kind of loader stays as it is."""
    if not elf.startswith(ELF_64_BIT_LITTLE_ENDIAN):
        return elf
    end = end_of_segments(elf)
    if len(elf) - end < WORTH_IT_BYTES:
        return elf
    short = bytearray(elf[:end])
    pack_into("<Q", short, 40, 0)  # where the table of sections is: nowhere
    pack_into("<HHH", short, 58, 0, 0, 0)  # and it has no entries
    return bytes(short)


def end_of_segments(elf: bytes) -> int:
    """The headers of the segments are read by the loader too, wherever they stand."""
    start = unpack_from("<Q", elf, 32)[0]
    size, count = unpack_from("<HH", elf, 54)
    headers = range(start, start + size * count, size)
    ends: list[int] = [sum(unpack_from("<Q16xQ", elf, header + 8)) for header in headers]
    return max(headers.stop, *ends)


def main(*paths: Path) -> None:
    for path in paths:
        if not path.is_symlink():
            path.write_bytes(stripped(path.read_bytes()))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
