"""Files of the user's, read with a limit: whatever they hold, reading ends well or says why."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crowdqc.config import Config

_CHUNK = 65536
"""Most files are smaller: reading takes a buffer of the size that is asked for."""
JSON_BYTES_MAX = 1_000_000_000
"""A JSON file larger than this is not read: it would not fit into memory."""


class Unreadable(Exception):  # noqa: N818 - says what the file is
    """A file that cannot be read; the message ends a sentence that begins with its name."""


def read_bytes(path: str | Path, limit: int) -> bytes:
    """All bytes of a file of at most `limit` bytes.

    Raises
    ------
    Unreadable
        If it is larger, not a file, or cannot be opened.
    """
    try:
        handle = os.open(path, os.O_RDONLY)  # the quickest way to half a million files
        try:
            data = os.read(handle, _CHUNK)
            if len(data) == _CHUNK:
                with open(handle, "rb", closefd=False) as file:
                    data += file.read(limit + 1 - _CHUNK)
        finally:
            os.close(handle)
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}.") from error
    if len(data) > limit:
        raise Unreadable(f"has more than {limit} bytes.")
    return data


def read_text(path: str | Path, limit: int) -> str:
    """The text of a file, which must be UTF-8 (with or without a byte order mark).

    Raises
    ------
    Unreadable
        As `read_bytes`, or if it is not UTF-8.
    """
    return decoded(read_bytes(path, limit))


def decoded(data: bytes) -> str:
    """The text that the bytes of a file say, which must be UTF-8, as `read_text`.

    Raises
    ------
    Unreadable
        If they are not.
    """
    try:
        return data.decode().removeprefix("\ufeff")  # quicker than the codec utf-8-sig
    except UnicodeDecodeError as error:
        byte = data[error.start]
        raise Unreadable(f"is not UTF-8 text (byte {error.start}: {byte:#04x}).") from error


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises
    ------
    Unreadable
        As `read_text`, or if it is not JSON.
    """
    try:
        return json.loads(read_text(path, JSON_BYTES_MAX))
    except json.JSONDecodeError as error:
        raise Unreadable(f"is not JSON (line {error.lineno}: {error.msg}).") from error
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"is not JSON that can be read ({type(error).__name__}).") from error


def relative(path: str | Path, config: Config) -> str:
    """`path` as messages name it: relative to the folder of the study file."""
    return relative_names([path], config)[0]


def relative_names(paths: Sequence[str | Path], config: Config) -> list[str]:
    """Each of `paths` as messages name it: as `relative`, and quick for many."""
    folder = os.path.join(config.file.parent, "")  # noqa: PTH118
    names = [str(path) for path in paths]
    names = [
        name[len(folder) :] if name.startswith(folder) else os.path.relpath(name, folder or ".")
        for name in names
    ]
    if os.sep != "/":
        names = [name.replace(os.sep, "/") for name in names]
    return names if "".join(names).isascii() else [printable(name) for name in names]


def printable(text: str) -> str:
    """`text` with everything escaped that UTF-8 cannot say (odd bytes in file names)."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def short(text: str) -> str:
    """`text`, cut where it is too long for a message, without what cannot be printed."""
    text = text if len(text) <= 60 else text[:57] + "..."
    return printable(text)


def parse_number(text: str) -> float | None:
    """The number that `text` says, as files write numbers (no ``1_000``); else `None`."""
    if "_" in text or not text.isascii():
        return None
    try:
        return float(text)
    except ValueError:
        return None


def write_json(path: Path, data: object) -> None:
    """Write `data` as JSON, indented by one."""
    path.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
