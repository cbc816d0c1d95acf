"""Called by scripts/gpu-check pack: blanks the machine code of other cards in a
CUDA library, so that it packs into a third.

    one_card.py LIBRARY ARCHITECTURE     (90: H100, H200)

A CUDA library carries the code of every kernel once for each architecture, in fat
binaries: a header of 16 bytes (magic, version, header's size, size), then entries
(kind, version, header's size, size, …, architecture at byte 28) that each stand
before their code. A driver takes the entry of its card and reads the headers of
the others, so only their code is overwritten, with zeroes, and nothing moves.
"""
import mmap
import struct
import sys

MAGIC = struct.pack("<IH", 0xBA55ED50, 1)
CODE = 2  # the kind of an entry; 1 is PTX, which a driver may compile for any card


def blank(library, keep):
    """Returns how many bytes of code were kept and how many blanked."""
    kept = blanked = at = 0
    while (at := library.find(MAGIC, at)) >= 0:
        header, size = struct.unpack_from("<HQ", library, at + 6)
        entry, end = at + header, at + header + size
        if at % 8 or header != 16 or end > len(library):
            at += 1
            continue
        while entry < end:
            kind, _, header, size = struct.unpack_from("<HHIQ", library, entry)
            (architecture,) = struct.unpack_from("<I", library, entry + 28)
            if kind == CODE and architecture != keep:
                library[entry + header : entry + header + size] = bytes(size)
                blanked += size
            else:
                kept += size
            entry += header + size
        at = end
    return kept, blanked


def main():
    path, keep = sys.argv[1], int(sys.argv[2])
    with open(path, "r+b") as f, mmap.mmap(f.fileno(), 0) as library:
        kept, blanked = blank(library, keep)
    if not kept:
        sys.exit(f"{path} has no code for architecture {keep}")
    print(f"{path}: {kept >> 20} MB of code for architecture {keep} kept, {blanked >> 20} MB for others blanked", file=sys.stderr)


main()
