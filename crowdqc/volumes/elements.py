"""What the elements of a DICOM file say, without decoding its pixels.

Libraries that decode pixels fill up what a file lacks with whatever lies in memory, and tell of
none of it. So the length of the pixel data is compared with what rows, columns and bits ask for.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

from crowdqc.files import Unreadable, opened

SOP_CLASS, TRANSFER_SYNTAX = 0x00080016, 0x00020010
PHOTOMETRIC = 0x00280004
SLOPE, LOOKUP = 0x00281053, 0x00283000
PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
_SIZES = (0x00280010, 0x00280011, 0x00280100)
_SAMPLES, _FRAMES = 0x00280002, 0x00280008
_KEPT = {
    *(SOP_CLASS, TRANSFER_SYNTAX, PHOTOMETRIC, SLOPE, LOOKUP),
    *(*_SIZES, _SAMPLES, _FRAMES),
}
_IMPLICIT, _BIG, _DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
_CLASS = "1.2.840.10008.5.1.4.1.1."
_NO_SLICES = {
    "4.3": "an Enhanced MR color image",
    "66.4": "a Segmentation (DICOM-SEG)",
    "481.2": "an RT Dose",
    "481.3": "an RT Structure Set (contours)",
    "481.5": "an RT Plan",
}
"""End of the UID of a class of objects that hold no single slice -> what it is."""
_MANY_FRAMES = {"2.1", "2.2", "4.1", "4.4", "128.1", "130"}
"""The same of Enhanced and Legacy Converted Enhanced CT, MR and PET images."""
_LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
"""Kinds of values whose length takes four bytes."""
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNPACKED_MAX = 2**28
_ELEMENTS_MAX = 500_000
_DEPTH_MAX = 50


class _Part(NamedTuple):
    """A sequence or an item: where it ends, and how what is in it is written."""

    end: int | None
    explicit: bool
    fragments: bool = False


class Elements:
    """Values of the elements of one file that place and scale its pixels.

    Parameters
    ----------
    path : Path
        The file. What is cut off or damaged ends the list of elements.

    Attributes
    ----------
    pixel_bytes : int or None
        Bytes of the pixel data that are there; `None` where they are compressed or not found.
    photometric_at : int or None
        Where in the file the photometric interpretation stands; `None` where it is deflated.
    """

    def __init__(self, path: Path) -> None:
        self._values: dict[int, bytes] = {}
        self._order = "<"
        self.pixel_bytes: int | None = None
        self.photometric_at: int | None = None
        with opened(path) as file:
            self._read(file)

    def text(self, tag: int) -> str:
        """A value as text; "" where there is none."""
        return self._values.get(tag, b"").decode("ascii", "replace").strip(" \0")

    def number(self, tag: int, default: int) -> int:
        """A value of two bytes as a whole number."""
        value = self._values.get(tag, b"")
        return struct.unpack(f"{self._order}H", value)[0] if len(value) == 2 else default

    def real(self, tag: int, default: float) -> float:
        """A value that is written as text, as a number."""
        try:
            return float(self.text(tag))
        except ValueError:
            return default

    @property
    def kind(self) -> str:
        """What it is, where it is of a class of objects that hold no single slice; else ""."""
        return _NO_SLICES.get(self.text(SOP_CLASS).removeprefix(_CLASS), "")

    @property
    def many_frames(self) -> bool:
        """Whether it is of a class of images that hold all slices in one file."""
        return self.text(SOP_CLASS).removeprefix(_CLASS) in _MANY_FRAMES

    def has(self, tag: int) -> bool:
        """Whether there is such an element."""
        return tag in self._values

    @property
    def expected_bytes(self) -> int:
        """Bytes that rows, columns, samples, frames and bits ask for."""
        rows, columns, bits = (self.number(tag, 0) for tag in _SIZES)
        frames = self.text(_FRAMES)
        n = rows * columns * self.number(_SAMPLES, 1) * (int(frames) if frames.isdecimal() else 1)
        return (n * bits + 7) // 8

    def _read(self, file: BinaryIO) -> None:
        explicit = True
        if file.read(132)[128:] == b"DICM":
            self._walk(file, explicit=True, group=2)
            syntax = self.text(TRANSFER_SYNTAX)
            explicit, self._order = syntax != _IMPLICIT, ">" if syntax == _BIG else "<"
            if syntax == _DEFLATED:
                packed = zlib.decompressobj(-zlib.MAX_WBITS)
                unpacked = packed.decompress(file.read(), _UNPACKED_MAX)
                if packed.unconsumed_tail:
                    raise Unreadable(f"unpacks to more than {_UNPACKED_MAX} bytes.")
                file = io.BytesIO(unpacked)
        else:  # a file of before 1998, whose kind its first element shows
            file.seek(0)
            explicit = file.read(6)[4:].isupper()
            file.seek(0)
        self._walk(file, explicit=explicit)

    def _walk(self, file: BinaryIO, *, explicit: bool, group: int | None = None) -> None:
        """Go through the elements of a group, or through all up to the pixels."""
        parts = [_Part(None, explicit=explicit)]
        for _ in range(_ELEMENTS_MAX):
            start = file.tell()
            while parts[-1].end is not None and start >= parts[-1].end:
                parts.pop()
            tag, kind, length = self._head(file, explicit=parts[-1].explicit)
            if tag is None or (group is not None and tag >> 16 != group):
                file.seek(start)
                return
            if len(parts) == 1 and tag in PIXELS:
                self.pixel_bytes = self._pixels(file, length)
                return
            if len(parts) == 1 and tag in _KEPT:
                self._keep(file, tag, 0 if length == _UNDEFINED else length)
            self._pass(file, parts, (tag, kind, length))
        raise Unreadable(f"has more than {_ELEMENTS_MAX} elements.")

    def _keep(self, file: BinaryIO, tag: int, length: int) -> None:
        if tag == PHOTOMETRIC and not isinstance(file, io.BytesIO):
            self.photometric_at = file.tell()
        start = file.tell()
        self._values[tag] = file.read(min(length, 256))
        file.seek(start)

    def _pass(self, file: BinaryIO, parts: list[_Part], head: tuple[int, bytes, int]) -> None:
        """Go into a sequence or an item of one, or past any other element."""
        (tag, kind, length), part = head, parts[-1]
        if tag in {_ITEM_END, _END}:
            if len(parts) > 1:
                parts.pop()
        elif length != _UNDEFINED and (
            part.fragments or (tag != _ITEM and not self._is_sequence(file, kind))
        ):
            file.seek(length, io.SEEK_CUR)
        else:
            end = None if length == _UNDEFINED else file.tell() + length
            explicit = part.explicit and kind != b"UN"
            parts.append(_Part(end, explicit=explicit, fragments=tag in PIXELS))
            if len(parts) > _DEPTH_MAX:  # libraries go down by recursion, until the stack ends
                raise Unreadable(f"nests sequences more than {_DEPTH_MAX} deep.")

    def _is_sequence(self, file: BinaryIO, kind: bytes) -> bool:
        """Whether a value is a sequence: its kind says so, or it begins with an item."""
        start = file.tell()
        beginning = file.read(4)
        file.seek(start)
        return kind == b"SQ" or beginning == struct.pack(f"{self._order}HH", 0xFFFE, 0xE000)

    def _head(self, file: BinaryIO, *, explicit: bool) -> tuple[int | None, bytes, int]:
        """Tag, kind and length of the next element; no tag at the end of the file."""
        head = file.read(8)
        if len(head) < 8:
            return None, b"", 0
        tag = struct.unpack_from(f"{self._order}HH", head)
        number = tag[0] << 16 | tag[1]
        if not explicit or number in {_ITEM, _ITEM_END, _END}:
            return number, b"", struct.unpack_from(f"{self._order}I", head, 4)[0]
        if head[4:6] not in _LONG:
            return number, head[4:6], struct.unpack_from(f"{self._order}H", head, 6)[0]
        length = file.read(4)
        if len(length) < 4:
            return None, b"", 0
        return number, head[4:6], struct.unpack(f"{self._order}I", length)[0]

    def _pixels(self, file: BinaryIO, length: int) -> int | None:
        """Bytes of pixels that are there, of `length` that are declared."""
        if length == _UNDEFINED:
            return None
        start = file.tell()
        return min(length, file.seek(0, io.SEEK_END) - start)
