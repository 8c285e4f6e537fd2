"""Symbolic links below a folder of results, none of which is followed.

Where the system has descriptors of folders, these are held on the way to a file, so that no link
can take the place of one; elsewhere paths are looked at.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from crowdqc.findings import InputError

STATE = "crowdqc.json"
"""Name of the file by which a folder of results is known."""
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
NO_LINK = getattr(os, "O_NOFOLLOW", 0)
HAS_DESCRIPTORS = os.open in os.supports_dir_fd and bool(NO_LINK)
"""Whether folders can be opened and held, so that no link takes their place (not on Windows)."""


def refuse_links(path: Path) -> None:
    """Refuse a path that goes through a symbolic link below a folder of results.

    Raises
    ------
    InputError
        Naming the link. What lies in no folder of results passes.
    """
    path = path.absolute()
    root = _results_folder(path)
    inner = [] if root is None else [path, *path.parents][: len(path.parts) - len(root.parts)]
    for place in reversed(inner):
        if place.is_symlink():
            raise InputError(
                f"{place}: is a symbolic link, and nothing below a folder of results is read or "
                "written through one. Remove it; [study] out may name another folder."
            )


@contextlib.contextmanager
def without_links(*folders: Path) -> Iterator[None]:
    """Folders for libraries that open by path: no link is in them, before and after the block.

    Raises
    ------
    InputError
        Naming the first link.
    """
    for folder in folders:
        _refuse_links_in(folder)
    yield
    for folder in folders:
        _refuse_links_in(folder)


def _refuse_links_in(folder: Path) -> None:
    refuse_links(folder)
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if os.path.islink(os.path.join(place, name)):  # noqa: PTH114, PTH118 - many
                refuse_links(Path(place, name))


def _results_folder(path: Path) -> Path | None:
    """The outermost folder of results that `path` is in; `None` where there is none."""
    found = [place for place in path.absolute().parents if (place / STATE).is_file()]
    return found[-1] if found else None


def held_folder(folder: Path, stack: contextlib.ExitStack) -> int | None:
    """Descriptor of a folder below results, reached without a link; `None` elsewhere.

    Parameters
    ----------
    folder : Path
        Any folder.
    stack : ExitStack
        Closes the descriptor.
    """
    root = _results_folder(folder / STATE) if HAS_DESCRIPTORS else None
    return None if root is None else walk(root, folder.absolute(), stack)


def walk(root: Path, folder: Path, stack: contextlib.ExitStack) -> int:
    """Descriptor of a folder, by way of descriptors of all between it and `root`.

    Parameters
    ----------
    root : Path
        Where to begin; it may be a link.
    folder : Path
        Below `root`.
    stack : ExitStack
        Closes all descriptors.
    """
    handle = os.open(root, _FOLDER)
    stack.callback(os.close, handle)
    for part in folder.relative_to(root).parts:
        handle = os.open(part, _FOLDER | NO_LINK, dir_fd=handle)
        stack.callback(os.close, handle)
    return handle
