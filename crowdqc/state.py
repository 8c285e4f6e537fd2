"""The state file of a folder of results: what stages are on record there, and who signed them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from crowdqc.files import Unreadable, read_json
from crowdqc.findings import InputError
from crowdqc.trust import is_signed, sign

FORMAT_VERSION = 2
"""Version of the layout of the folder and of the tables in it."""

STATE_BYTES_MAX = 100_000_000
_RESULT = re.compile(r"\w[\w.]{0,99}", re.ASCII)
"""Names of what stages write; who sends a state file may not name anything else."""


def read_state(path: Path) -> dict[str, Any]:
    """What the state file says, if it is there; its stages are always of the right form."""
    if not path.is_symlink() and not path.exists():
        return {}
    try:
        state = read_json(path, STATE_BYTES_MAX, below=path.parent)
        stages = state.get("stages", {})
        if state.get("format_version", FORMAT_VERSION) != FORMAT_VERSION:
            return {**state, "stages": {}}
        if all(_is_record(record) for record in stages.values()):
            return {**state, "stages": stages}
    except Unreadable as error:
        raise InputError(f"{path}: {error} Remove the folder, if it is not ours.") from error
    except AttributeError as error:
        raise InputError(f"{path}: is not ours or damaged ({error}); remove the folder.") from error
    raise InputError(f"{path}: holds a stage that is none; remove the folder.")


def _is_record(record: object) -> bool:
    if not isinstance(record, dict):
        return False
    files, needs = record.get("files"), record.get("rests_on")
    return (
        isinstance(files, dict)
        and all(map(_RESULT.fullmatch, files))
        and isinstance(needs, list)
        and all(isinstance(name, str) for name in needs)
    )


def signed(study: str, stage: str, record: dict[str, Any]) -> dict[str, Any]:
    """The record of a stage with this user's signature.

    Parameters
    ----------
    study : str
        Identifies the study and its folder.
    stage : str
        Name of the stage.
    record : dict
        What JSON can hold; a signature in it is replaced.
    """
    return {**record, "signature": sign([study, stage, _unsigned(record)])}


def is_ours(study: str, stage: str, record: dict[str, Any]) -> bool:
    """Whether this user signed the record of a stage.

    Parameters
    ----------
    study : str
        As of `signed`.
    stage : str
        As of `signed`.
    record : dict
        With its signature.

    Returns
    -------
    bool
        False without a signature.
    """
    return is_signed([study, stage, _unsigned(record)], record.get("signature"))


def _unsigned(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != "signature"}
