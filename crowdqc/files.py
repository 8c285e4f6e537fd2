"""Files opened with care.

What others made is read through here: regular files only, so that neither a pipe nor a device
hangs the reader, and never more than a limit. Below a folder of results no symbolic link is
followed. `crowdqc.writing` writes.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import io
import json
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from crowdqc.findings import InputError
from crowdqc.links import HAS_DESCRIPTORS, NO_LINK, refuse_links, walk

SEAL = ".hmac"
"""Ending of the names of files that say by whom another file was written."""
SETTINGS_BYTES_MAX = 1_000_000
"""Largest file of settings (a study, a policy): what people write by hand."""
VOLUME_ENDINGS = (
    *(".nii", ".nii.gz", ".dcm"),
    *(".nrrd", ".nhdr", ".mha", ".mhd", ".hdr", ".img"),
)
"""Endings of files that hold a volume."""
JSON_BYTES_MAX = 1_000_000_000
"""A JSON file larger than this is not read: it would not fit into memory."""
COLUMNS_MAX = 1_000
"""Most columns of a table: each takes memory and time beyond its cells."""
Kind = TypeVar("Kind")
_CHUNK = 65536
"""Most files are smaller: reading takes a buffer of the size that is asked for."""
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_BINARY = getattr(os, "O_BINARY", 0)


class Unreadable(Exception):  # noqa: N818 - says what the file is
    """A file that cannot be read; the message ends a sentence that begins with its name."""


def refuse_more(count: float, limit: int, name: str) -> None:
    """Refuse a file that holds, or claims, more than a limit that a study may raise.

    Parameters
    ----------
    count : float
        What was found so far, or what the file claims.
    limit : int
        The most that is read.
    name : str
        Key of the limit in the section ``[limits]`` of a study file, and what is counted.

    Raises
    ------
    Unreadable
        If `count` is more than `limit`.
    """
    if count > limit:
        raise Unreadable(
            f"has more than {limit} {name}. Where that is right, set [limits] {name} in the study "
            "file."
        )


def open_regular(path: str | Path, *, below: Path | None = None) -> int:
    """Descriptor of a regular file, open for reading; whoever calls closes it.

    Parameters
    ----------
    path : str or Path
        The file. A link to it is followed, unless `below` is given.
    below : Path, optional
        A folder that holds the file: no link is followed between the two.

    Raises
    ------
    Unreadable
        If it cannot be opened, or is a folder, a pipe, a device or a socket.
    """
    try:
        handle = _open(path, below)
        if stat.S_ISREG(os.fstat(handle).st_mode):
            return handle
        kind = "a folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "a pipe or a device"
        os.close(handle)
    except OSError as error:
        raise Unreadable(f"cannot be read: {_reason(error)}.") from error
    raise Unreadable(f"is {kind}, not a regular file.")


def no_link(path: str, flags: int) -> int:
    """An `opener` for `open` that writes neither through a link nor into a file of two names.

    Parameters
    ----------
    path : str
        As `open` passes it.
    flags : int
        As `open` passes them.

    Returns
    -------
    int
        A descriptor.
    """
    handle = os.open(path, (flags | NO_LINK) & ~os.O_TRUNC, 0o644)
    if os.fstat(handle).st_nlink > 1:
        os.close(handle)
        raise OSError(errno.EMLINK, "it has another name elsewhere (a hard link)", path)
    if flags & os.O_TRUNC:
        os.ftruncate(handle, 0)
    return handle


@contextlib.contextmanager
def opened(path: str | Path, *, below: Path | None = None) -> Iterator[io.BufferedReader]:
    """A regular file, open for reading bytes, as `open_regular`.

    Parameters
    ----------
    path : str or Path
        Of the file.
    below : Path, optional
        Between this folder and the file no link is followed.

    Raises
    ------
    Unreadable
        As `open_regular`.
    """
    with open(open_regular(path, below=below), "rb") as file:
        yield file


@contextlib.contextmanager
def unpacked(path: str | Path, limit: int) -> Iterator[io.BufferedReader]:
    """The bytes of a regular file, unpacked where its name ends with ``.gz``.

    Parameters
    ----------
    path : str or Path
    limit : int
        The most bytes that are read, as they are when unpacked.

    Raises
    ------
    Unreadable
        As `open_regular`; while it is read also if there are more bytes than `limit`, or what
        is packed is damaged.
    """
    try:
        with opened(path) as file:
            packed = str(path).endswith(".gz")
            stream: Any = gzip.GzipFile(fileobj=file) if packed else file
            yield io.BufferedReader(_Limited(stream, limit), _CHUNK)
    except (OSError, EOFError, zlib.error) as error:
        raise Unreadable(f"cannot be read: {error}.") from error


class _Limited(io.RawIOBase):
    """A stream that may not be longer than a limit: what is packed may unpack to anything."""

    def __init__(self, file: Any, limit: int) -> None:
        self._file = file
        self._limit = limit
        self._n_read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        n = int(self._file.readinto(buffer))
        self._n_read += n
        refuse_more(self._n_read, self._limit, "bytes")
        return n


def read_bytes(path: str | Path, limit: int, *, below: Path | None = None) -> bytes:
    """All bytes of a regular file.

    Parameters
    ----------
    path : str or Path
        Of the file.
    limit : int
        Most bytes that it may have.
    below : Path, optional
        As of `opened`.

    Raises
    ------
    Unreadable
        As `open_regular`, or if it is larger.
    """
    handle = open_regular(path, below=below)  # the quickest way to half a million files
    try:
        data = os.read(handle, _CHUNK)
        if len(data) == _CHUNK:
            # Not as much as the limit: that much memory would be set aside at once.
            size = min(limit, max(os.fstat(handle).st_size, _CHUNK))
            with open(handle, "rb", closefd=False) as file:
                data += file.read(size + 1 - _CHUNK)
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}.") from error
    finally:
        os.close(handle)
    if len(data) > limit:
        raise Unreadable(f"has more than {limit} bytes.")
    return data


def read_text(path: str | Path, limit: int, *, below: Path | None = None) -> str:
    """The text of a file, which must be UTF-8 (with or without a byte order mark).

    Parameters
    ----------
    path, limit, below
        As of `read_bytes`.

    Raises
    ------
    Unreadable
        As `read_bytes`, or if it is not UTF-8.
    """
    return decoded(read_bytes(path, limit, below=below))


def read_settings(path: Path) -> str:
    """The text of a file of settings, of at most `SETTINGS_BYTES_MAX` bytes.

    Raises
    ------
    InputError
        If it cannot be read, is no regular file, is larger, or is not UTF-8.
    """
    try:
        return read_text(path, SETTINGS_BYTES_MAX)
    except Unreadable as error:
        raise InputError(f"{path}: {error}") from error


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
        place = f"byte {error.start}: {data[error.start]:#04x}"
        raise Unreadable(f"is not UTF-8 text ({place}). Save it as UTF-8.") from error


def is_volume(name: str) -> bool:
    """Whether a file name is that of a volume, or of the folder of a series: ends with a slash."""
    return name.lower().endswith((*VOLUME_ENDINGS, "/"))


def holds_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its preamble: many have no ending."""
    with opened(path) as file:
        return file.read(132)[128:] == b"DICM"


def read_json(path: Path, limit: int = JSON_BYTES_MAX, *, below: Path | None = None) -> Any:
    """What a JSON file holds.

    Parameters
    ----------
    path, limit, below
        As of `read_bytes`.

    Raises
    ------
    Unreadable
        As `read_text`, or if it is not JSON.
    """
    try:
        return json.loads(read_text(path, limit, below=below))
    except json.JSONDecodeError as error:
        raise Unreadable(f"is not JSON (line {error.lineno}: {error.msg}).") from error
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"is not JSON that can be read ({type(error).__name__}).") from error


def load_json(path: Path, kind: type[Kind]) -> Kind:
    """What a JSON file holds.

    Parameters
    ----------
    path : Path
    kind : type
        `dict` or `list`.

    Raises
    ------
    InputError
        If it cannot be read, is no JSON, or holds something else.
    """
    try:
        found = read_json(path)
    except Unreadable as error:
        raise InputError(f"{path}: {error}") from error
    if not isinstance(found, kind):
        raise InputError(f"{path}: must hold a {kind.__name__}; got a {type(found).__name__}.")
    return found


def sha256(path: str | Path) -> str:
    """SHA-256 of a regular file, in hex.

    Raises
    ------
    InputError
        If it cannot be read or is no regular file.
    """
    try:
        with opened(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except Unreadable as error:
        raise InputError(f"{path}: {error}") from error


def _open(path: str | Path, below: Path | None) -> int:
    if below is None:
        return os.open(path, _READ | _BINARY)
    if not HAS_DESCRIPTORS:
        refuse_links(Path(path))
        return os.open(path, _READ | _BINARY)
    with contextlib.ExitStack() as stack:
        folder = walk(below, Path(path).parent, stack)
        return os.open(Path(path).name, _READ | NO_LINK, dir_fd=folder)


def _reason(error: OSError) -> str:
    linked = error.errno in {errno.ELOOP, errno.EMLINK}
    return "it is a symbolic link, which is not followed here" if linked else str(error.strerror)
