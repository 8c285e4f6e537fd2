"""A lock on a folder, so that one process at a time writes there.

The lock is the kernel's (``flock``): it ends with its process, however that ends, so nothing
that a killed process left behind can block. The file says who holds it, and goes with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import weakref
from pathlib import Path

from crowdqc.findings import InputError

NAME = ".lock"
"""Name of the file in the folder."""
_SAID_MAX = 200


class FolderLock:
    """The right to write in a folder, held from `acquire` until `release` or the end.

    Parameters
    ----------
    folder : Path
        A folder that is there.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._release: weakref.finalize[..., FolderLock] | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._release is not None and self._release.alive

    def acquire(self) -> None:
        """Take the lock; nothing happens where it is held already.

        Raises
        ------
        InputError
            If another process holds it, or the file system has no locks.
        """
        while not self.held:
            handle = self._open()
            try:
                _lock(handle, self.path)
                if _is_there(handle, self.path):  # else its last holder has just removed it
                    _say_who(handle)
                    self._release = weakref.finalize(self, _let_go, handle, self.path, os.getpid())
            finally:
                if not self.held:
                    os.close(handle)

    def release(self) -> None:
        """Let go; nothing happens where it is not held."""
        if self._release is not None:
            self._release()

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written: {error.strerror}.") from error


def _lock(handle: int, path: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(handle, _SAID_MAX, 0).decode(errors="replace").strip()
        raise InputError(
            f"{path.parent}: {holder or 'another process'} is writing here. Wait until it has "
            "ended, or choose another folder with --out."
        ) from error
    except OSError as error:
        raise InputError(
            f"{path.parent}: cannot be locked ({error.strerror}), so two runs could mix their "
            "results. Choose a folder on a disk that has locks."
        ) from error


def _is_there(handle: int, path: Path) -> bool:
    """Whether the file that was opened is still the one of this name."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _say_who(handle: int) -> None:
    with contextlib.suppress(OSError):  # a full disk: the lock holds all the same
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)


def _let_go(handle: int, path: Path, owner: int) -> None:
    """Remove the file and close it, which unlocks; a child that was forked off only closes."""
    if os.getpid() == owner:
        with contextlib.suppress(OSError):
            path.unlink()
    os.close(handle)
