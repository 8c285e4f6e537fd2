"""A lock on a folder, so that one process at a time writes there.

Processes that each do a part of the same work hold a lock for their part instead: any number of
them may write side by side, but not beside one that holds the lock on the whole.

The lock is the kernel's (`filelock`): it ends with its process, however that ends, so nothing
that a killed process left behind can block. The file says who holds it, and goes with it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import warnings
import weakref
from pathlib import Path

from filelock import FileLock, Timeout

from crowdqc.files import Unreadable, read_bytes
from crowdqc.findings import InputError

NAME = ".lock"
"""Name of the file in the folder."""
_OWNER_BYTES_MAX = 200
_WAIT_S = 10.0
"""How long a part waits for the lock on the whole, which other parts look at when they begin."""


class FolderLock:
    """The right to write in a folder, held from `acquire` until `release` or the end.

    Parameters
    ----------
    folder : Path
        A folder that is there.
    part : str, optional
        Name of a part of the work; the whole, if there is none.
    """

    def __init__(self, folder: Path, part: str = "") -> None:
        self.path = folder / (f"{NAME}-{part}" if part else NAME)
        self._part = part
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
        if self.held:
            return
        lock = FileLock(self.path, timeout=0, thread_local=False)
        _take(lock, self.path)
        _say_who(self.path)
        self._release = weakref.finalize(self, _let_go, lock, self.path, os.getpid())
        try:
            self._refuse_others()
        except InputError:
            self.release()
            raise

    def _refuse_others(self) -> None:
        """Refuse where a process writes that this one must not write beside."""
        whole = self.path.with_name(NAME)
        others = [whole] if self._part else sorted(whole.parent.glob(f"{NAME}-*"))
        for path in others:
            lock = FileLock(path, timeout=_WAIT_S if self._part else 0, thread_local=False)
            _take(lock, path)
            _let_go(lock, path, os.getpid())

    def release(self) -> None:
        """Let go; nothing happens where it is not held."""
        if self._release is not None:
            self._release()


def _take(lock: FileLock, path: Path) -> None:
    if path.is_symlink() or (path.exists() and path.stat().st_nlink > 1):
        raise InputError(f"{path}: cannot be written: it is a link to another file. Remove it.")
    try:
        with warnings.catch_warnings(action="ignore"):  # that there is no lock is said below
            lock.acquire()
        if "Soft" not in type(lock).__name__:
            return
        lock.release(force=True)
        problem = "Function not implemented"
    except Timeout as error:
        raise InputError(
            f"{path.parent}: {_holder(path)} is writing here. Wait until it has ended, or choose "
            "another folder with --out."
        ) from error
    except PermissionError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}.") from error
    except (OSError, NotImplementedError) as error:
        problem = getattr(error, "strerror", None) or str(error)
    raise InputError(
        f"{path.parent}: cannot be locked ({problem}), so two runs could mix their results. Choose "
        "a folder on a disk that has locks."
    )


def _holder(path: Path) -> str:
    with contextlib.suppress(Unreadable):
        return (
            read_bytes(path, _OWNER_BYTES_MAX).decode(errors="replace").strip() or "another process"
        )
    return "another process"


def _say_who(path: Path) -> None:
    with contextlib.suppress(OSError):  # a full disk: the lock holds all the same
        path.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")


def _let_go(lock: FileLock, path: Path, owner: int) -> None:
    """Remove the file and unlock; a child that was forked off leaves both to its parent."""
    if os.getpid() == owner:
        with contextlib.suppress(OSError):
            path.unlink()
        lock.release(force=True)
