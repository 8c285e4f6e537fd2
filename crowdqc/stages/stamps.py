"""Stamps: hashes of everything that the result of a stage depends on.

A stamp holds the sections of the study file that the stage reads, the files that it reads, and
the stamps of the stages before it. Small files count by their content; large ones, and those that
are very many, by size and time of change as long as their inodes are as they were, else by their
content, too: who edits a file and sets its time back is noticed.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import crowdqc
from crowdqc.config import Config
from crowdqc.files import sha256
from crowdqc.findings import InputError
from crowdqc.formats.files import relative_names
from crowdqc.schema import TABLES
from crowdqc.store import Store

SMALL = 65536
"""Bytes of a file that counts by its content."""
FEW = 20_000
"""Where there are more files, none is read: half a million would take longer than the check."""


def make_stamp(
    name: str,
    config: Config,
    *,
    store: Store,
    sections: Sequence[str],
    inputs: Iterable[str | Path],
    results: Iterable[str],
    needs: Sequence[str],
) -> str:
    """Hash of everything that the result of a stage depends on.

    Parameters
    ----------
    name : str
        The stage.
    config : Config
        The study file.
    store : Store
        The folder of results.
    sections : sequence of str
        Sections of the study file on which the result depends.
    inputs : iterable of path
        Files of the user that it reads.
    results : iterable of str
        Files in the folder of results that may change without the stages before.
    needs : sequence of str
        Stamps of the stages before.

    Returns
    -------
    str
        In hex.
    """
    record = {
        "crowdqc": [crowdqc.__version__, _declared()],
        "stage": name,
        "study": [config.study.name, config.study.seed],
        "sections": {section: _plain(getattr(config, section)) for section in sections},
        "inputs": _fingerprint(name, inputs, config, store=store),
        "results": [sha256(path) for path in map(store.path, results) if path.is_file()],
        "needs": list(needs),
    }
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


@functools.cache
def _declared() -> str:
    """Hash of what tables hold: results of a version in work are not taken for those of another."""
    return hashlib.sha256(repr(TABLES).encode()).hexdigest()


def _plain(section: object) -> object:
    if isinstance(section, dict):
        return {key: _plain(value) for key, value in section.items()}
    dump = getattr(section, "model_dump", None)
    return dump(mode="json") if dump else section


def _fingerprint(stage: str, paths: Iterable[str | Path], config: Config, *, store: Store) -> str:
    """Changes with the files; the same where the whole study was moved."""
    files = [str(path) for path in paths]
    names = relative_names(files, config)
    small = SMALL if len(files) <= FEW else -1
    rough, fine, unread = hashlib.sha256(), hashlib.sha256(), list[str]()
    for name, path in zip(names, files, strict=True):
        try:
            stat = os.stat(path)  # noqa: PTH116 - half a million files: no Path for each
        except OSError:
            rough.update(f"{name}\0\n".encode())
            continue
        if stat.st_size <= small:
            rough.update(f"{name}\0{_content(path)}\n".encode())
            continue
        unread.append(path)
        rough.update(f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        fine.update(f"{stat.st_ctime_ns} {stat.st_ino}\n".encode())
    return store.hashes.token(
        stage,
        rough=rough.hexdigest(),
        fine=fine.hexdigest(),
        content=lambda: " ".join(map(_content, unread)),
    )


def _content(path: str) -> str:
    """SHA-256 of a file; "none" of what is no regular file."""
    try:
        return sha256(path)
    except InputError:
        return "none"
