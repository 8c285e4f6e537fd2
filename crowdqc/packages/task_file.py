"""``task.json``: what a work package asks for, in a form that can be checked when it comes back."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crowdqc.files import Unreadable, read_json
from crowdqc.findings import InputError

NAME = "task.json"
FORMAT_VERSION = 1
BYTES_MAX = 100_000_000


@dataclass(frozen=True)
class AskedSlice:
    """One slice of a package."""

    case: str
    slice: int
    image: str
    """Name of its picture in ``images/``."""
    labels: tuple[str, ...]
    tasks: tuple[str, ...]
    """What is to be done for each label."""
    prefill: tuple[str, ...]
    """What is drawn already, for each label."""
    height: int
    width: int


@dataclass(frozen=True)
class TaskFile:
    """What a work package asks for.

    Parameters
    ----------
    study : str
        Name of the study.
    round : int
        Number of the round.
    rater : str
        Who is asked.
    format : str
        Layout of the package.
    labels : tuple of str
        All labels of the study, in its order.
    due : str
        Date by which it is due; "" for none.
    pictures : str
        ``"images"``, or ``"canvas"`` where the study has none.
    slices : tuple of AskedSlice
        What is asked for.
    shown : tuple of dict
        ``case, slice, label`` of places whose fused box the feedback sheet shows.
    annotations : dict of str to object
        Keys of ``[annotations]`` that read what comes back.
    files : dict of str to str
        Files of the package -> SHA-256, as it was sent.
    """

    study: str
    round: int
    rater: str
    format: str
    labels: tuple[str, ...]
    due: str
    pictures: str
    slices: tuple[AskedSlice, ...]
    shown: tuple[dict[str, Any], ...] = ()
    annotations: Mapping[str, object] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Hash of all that the package holds."""
        return hashlib.sha256(self.to_json(seal=False).encode()).hexdigest()

    def to_json(self, *, seal: bool = True) -> str:
        """The text of the file; with `seal`, the hash of the rest stands in it."""
        record = {"format_version": FORMAT_VERSION, **dataclasses.asdict(self)}
        if seal:
            record["key"] = self.key
        return json.dumps(record, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def read_task_file(folder: Path) -> TaskFile:
    """The task file of a package.

    Raises
    ------
    InputError
        If it is not there, is none, or was changed since it was written.
    """
    path = folder / NAME
    if not path.is_symlink() and not path.exists():
        raise InputError(
            f"{folder}: holds no {NAME}, so it is no work package of crowdqc. Give the folder that "
            "was sent, with what was drawn in it."
        )
    try:
        record = read_json(path, BYTES_MAX, below=folder)
        version, key = record.pop("format_version"), record.pop("key")
        slices = tuple(_slice(one) for one in record.pop("slices"))
        labels, shown = tuple(record.pop("labels")), tuple(record.pop("shown"))
        found = TaskFile(slices=slices, labels=labels, shown=shown, **record)
    except Unreadable as error:
        raise InputError(f"{path}: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: is no task file of crowdqc ({error}).") from error
    if version != FORMAT_VERSION:
        raise InputError(
            f"{path}: has format version {version!r}; this crowdqc reads {FORMAT_VERSION}."
        )
    if found.key != key:
        raise InputError(
            f"{path}: was changed since the package was made (its key is another one). Put back "
            "the file that was sent."
        )
    return found


def _slice(record: dict[str, Any]) -> AskedSlice:
    lists = {name: tuple(map(str, record[name])) for name in ("labels", "tasks", "prefill")}
    return AskedSlice(**{**record, **lists})
