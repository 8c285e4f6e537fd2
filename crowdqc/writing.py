"""Files and folders written whole: each appears under its name when it is finished.

Below a folder of results no symbolic link is followed to write.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from crowdqc.findings import InputError
from crowdqc.links import held_folder, refuse_links

PART = ".part-"
"""Beginning of the names of files that are not finished."""


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Path of a temporary file that takes the place of `path` when the block ends well.

    The name keeps the ending of `path`, because some writers choose a format by it. Below a
    folder of results no folder on the way may be a link, neither before nor after the block.

    Raises
    ------
    InputError
        If the file cannot be written (no space, no permission, a link on the way).
    """
    with _explained(path), contextlib.ExitStack() as stack:
        refuse_links(path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = held_folder(path.parent, stack)
        handle, name = tempfile.mkstemp(prefix=PART, suffix="-" + path.name, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o644)
            refuse_links(path.parent)
            if folder is None:
                temporary.replace(path)
            else:
                os.replace(temporary.name, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that becomes `folder` when the block ends well.

    Raises
    ------
    InputError
        If `folder` is there and not empty, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"{folder}: is not an empty folder. Choose another, so that nothing is overwritten."
        )
    with _explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=PART, dir=folder.parent))
        try:
            yield temporary
            temporary.chmod(0o755)
            temporary.replace(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}.") from error
