"""What a NIfTI header may claim, looked at before anything is unpacked.

A file of zeros packs a thousand to one: a megabyte may claim gigabytes. The claim stands in the
first bytes, so a file that claims too much is refused before it can take memory.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

from crowdqc.findings import InputError

BYTES_MAX = 2**33
"""Most bytes of voxels, unpacked: 4,000 slices of 1024 x 1024 in 16 bits."""
RATIO_MAX = 1032
"""What deflate can make of a byte at most."""
OFFSET_MAX = 100_000_000
"""Most bytes of header and extensions before the first voxel."""
_HEADER = 540
_OFFSETS = {348: ("f", 108), 540: ("q", 168)}
"""Size of the header, by which versions 1 and 2 are told apart -> type and place of vox_offset."""


def refuse_large(path: Path) -> None:
    """Refuse a NIfTI file whose voxels begin too far behind its header.

    What is no NIfTI file is left to its reader.

    Raises
    ------
    InputError
        If it claims more than `OFFSET_MAX` bytes before the first voxel, or cannot be opened.
    """
    offset = _offset(_beginning(path))
    if not offset <= OFFSET_MAX:
        raise InputError(
            f"{path}: its header says that voxels begin at byte {offset:g}; more than {OFFSET_MAX} "
            "is a broken or hostile file."
        )


def refuse_claim(path: Path, n_bytes: float) -> None:
    """Refuse a file that claims more voxels than there should be, or than it can unpack to.

    Parameters
    ----------
    path : Path
    n_bytes : float
        Bytes of all voxels, as the header says.

    Raises
    ------
    InputError
        If they are more than `BYTES_MAX`, or a packed file is too small to hold them.
    """
    if n_bytes > BYTES_MAX:
        raise InputError(f"{path}: holds more than {BYTES_MAX} bytes of voxels when unpacked.")
    if path.suffix == ".gz" and n_bytes > RATIO_MAX * path.stat().st_size:
        raise InputError(f"{path}: is cut off or damaged: too small for {n_bytes:g} bytes.")


def _beginning(path: Path) -> bytes:
    opened = gzip.open if path.name.endswith(".gz") else open
    try:
        with opened(path, "rb") as file:
            return bytes(file.read(_HEADER))
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read as NIfTI: {error}.") from error


def _offset(head: bytes) -> float:
    """Where voxels are said to begin; 0 where the header is none."""
    for order in "<>" if len(head) >= min(_OFFSETS) else "":
        (size,) = struct.unpack_from(f"{order}i", head)
        kind, place = _OFFSETS.get(size, ("", 0))
        if kind and len(head) >= size:
            return float(struct.unpack_from(f"{order}{kind}", head, place)[0])
    return 0.0
