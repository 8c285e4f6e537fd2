"""Whose results these are: what this user wrote is signed, and what was hashed is remembered.

A signature is an HMAC with a key that only the user has: ``CROWDQC_KEY``, where several machines
work on one study, or else a file in the user's state folder that is made when it is first needed.
It is never written into a folder of results, so that nobody who sends one can sign it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import hmac
import json
import os
import re
import secrets
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from crowdqc.files import SEAL, Unreadable, opened, read_bytes, read_json, read_text, sha256
from crowdqc.findings import InputError
from crowdqc.writing import atomic

KEY = "CROWDQC_KEY"
"""Environment variable with a key of one's own."""
KEY_CHARACTERS_MIN = 16
_KEY_BYTES = 32
_SEAL_BYTES_MAX = 200
_HEX = re.compile("(?:[0-9a-f]{2}){16,}")
_RECENT_NS = 2_000_000_000
"""A file that changed so shortly before it was hashed may have changed again within one tick."""


def _state_folder() -> Path:
    """The folder in which programs keep what is this user's and no study's."""
    named = os.environ.get("XDG_STATE_HOME") or os.environ.get("LOCALAPPDATA")
    base = Path(named) if named else Path.home() / ".local" / "state"
    return base / "crowdqc"


def key() -> bytes:
    """The key of this user on this machine.

    Raises
    ------
    InputError
        If ``CROWDQC_KEY`` is too short to keep anybody out.
    """
    given = os.environ.get(KEY)
    if given is None:
        return _own_key(_state_folder() / "key")
    if len(given) < KEY_CHARACTERS_MIN:
        raise InputError(
            f"{KEY}: must have at least {KEY_CHARACTERS_MIN} characters that nobody can guess; got "
            f"{len(given)}. Make one by: openssl rand -hex 32"
        )
    return bytes.fromhex(given) if _HEX.fullmatch(given) else given.encode()


def key_text() -> str:
    """The key as ``CROWDQC_KEY`` says it, for workers on other machines."""
    return key().hex()


@functools.cache
def _own_key(path: Path) -> bytes:
    """The key in a file, made where there is none; where that fails, one for this process."""
    if (found := _read_key(path)) is not None:
        return found
    made = secrets.token_bytes(_KEY_BYTES)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            whole = Path(folder) / "key"
            whole.touch(mode=0o600)
            whole.write_bytes(made)
            os.link(whole, path)  # the first of several processes wins
    return _read_key(path) or made


def _read_key(path: Path) -> bytes | None:
    with contextlib.suppress(Unreadable):
        found = read_bytes(path, _KEY_BYTES)
        return found if len(found) == _KEY_BYTES else None
    return None


def sign(record: object) -> str:
    """Signature of what JSON can hold, by this user."""
    text = json.dumps(record, sort_keys=True)
    return hmac.new(key(), text.encode(), hashlib.sha256).hexdigest()


def is_signed(record: object, signature: object) -> bool:
    """Whether a signature is this user's of a record.

    Parameters
    ----------
    record : object
        What JSON can hold.
    signature : object
        As read from a file: of any type.
    """
    return isinstance(signature, str) and hmac.compare_digest(sign(record), signature)


def seal_of(path: Path) -> Path:
    """The file beside `path` that says by whom it was written, which is another for each user."""
    return path.with_name(f".{path.name}{SEAL}")


def seal(path: Path) -> None:
    """Say that this user wrote a file, as it is now.

    Raises
    ------
    InputError
        If that cannot be written.
    """
    with atomic(seal_of(path)) as temporary:
        temporary.write_text(sign([path.name, sha256(path)]) + "\n", encoding="ascii")


def is_sealed(path: Path) -> bool:
    """Whether a file is as this user wrote it."""
    try:
        signature = read_text(seal_of(path), _SEAL_BYTES_MAX).strip()
        return is_signed([path.name, sha256(path)], signature)
    except (InputError, Unreadable):
        return False


class Hashes:
    """SHA-256 of files below a folder, without reading those again that have not changed.

    A file counts as unchanged while its size, both times and inode are those of when it was
    hashed. What is remembered lies in the user's state folder, out of reach of whoever sends a
    folder of results.

    Parameters
    ----------
    folder : Path
        The files' folder; no link below it is followed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        name = hashlib.sha256(str(folder.absolute()).encode("utf-8", "surrogateescape"))
        self._file = _state_folder() / "hashes" / f"{name.hexdigest()[:32]}.json"
        self._known: dict[str, list[object]] | None = None
        self._is_new = False

    def digest(self, name: str) -> str | None:
        """SHA-256 of a file, or of all files in a folder and their names; `None` if not there.

        A link counts as what it says, not as what it leads to.
        """
        path = self.folder / name
        if path.is_symlink():
            return hashlib.sha256(f"link {path.readlink()}".encode()).hexdigest()
        if not path.is_dir():
            return self._of_file(name)
        parts = sorted(child.name for child in path.iterdir())
        digests = [[part, self.digest(f"{name}/{part}")] for part in parts]
        return hashlib.sha256(json.dumps(digests).encode()).hexdigest()

    def token(self, name: str, *, rough: str, fine: str, content: Callable[[], str]) -> str:
        """What stands for the content of files that are too many or too large to read each time.

        Parameters
        ----------
        name : str
            What the files are inputs of.
        rough : str
            Hash of what stays as it is where files are moved: names, sizes, times of change.
        fine : str
            Hash of what nobody can set back: times of the inodes, and their numbers.
        content : callable
            Hash of the content, asked for only where `rough` is as before and `fine` is not.
        """
        known = self._remembered().get(f"inputs of {name}")
        if known is not None and known[:2] == [rough, fine]:
            return str(known[2])
        in_doubt = known is not None and known[0] == rough
        token = hashlib.sha256(f"{rough} {content()}".encode()).hexdigest() if in_doubt else rough
        self._remembered()[f"inputs of {name}"] = [rough, fine, token]
        self._is_new = True
        return token

    def save(self) -> None:
        """Remember what was hashed, for other processes; a state folder is not needed for it."""
        if self._is_new:
            with contextlib.suppress(InputError), atomic(self._file) as temporary:
                temporary.write_text(json.dumps(self._known), encoding="utf-8")
            self._is_new = False

    def _of_file(self, name: str) -> str | None:
        try:
            with opened(self.folder / name, below=self.folder) as file:
                stat = os.fstat(file.fileno())
                now = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
                known = self._remembered().get(name)
                if known is not None and known[:-1] == now:
                    return str(known[-1])
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except Unreadable:
            return None
        if max(stat.st_mtime_ns, stat.st_ctime_ns) < time.time_ns() - _RECENT_NS:
            self._remembered()[name] = [*now, digest]
            self._is_new = True
        return digest

    def _remembered(self) -> dict[str, list[object]]:
        if self._known is None:
            try:
                known = read_json(self._file)
            except Unreadable:
                known = {}
            self._known = known if isinstance(known, dict) else {}
        return self._known
