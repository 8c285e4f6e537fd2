"""What a case's masks were made from: the record that lets a run be cut short and go on.

The record is written last. A case counts as done only if its record names the same prompts,
volume, settings and model as now, the files that it names are there, byte by byte, and this
user wrote it: masks that came with a folder of results are drawn again.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from crowdqc.files import JSON_BYTES_MAX, Unreadable, read_json, sha256
from crowdqc.findings import InputError
from crowdqc.trust import is_sealed, seal
from crowdqc.writing import atomic

RECORD_VERSION = 2
"""Format version of a record; raised, too, when the same input gives other masks."""

Rows = list[dict[str, Any]]


def signature_of(**inputs: object) -> str:
    """Hash of all that the masks of a case depend on.

    Parameters
    ----------
    **inputs : object
        By name; anything that JSON can hold.

    Examples
    --------
    >>> signature_of(seed=0) == signature_of(seed=0), signature_of(seed=0) == signature_of(seed=1)
    (True, False)
    """
    text = json.dumps({"version": RECORD_VERSION, **inputs}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read_record(path: Path, signature: str) -> Rows | None:
    """Rows of the table ``masks`` of a finished case; `None` where it must be done (again).

    Parameters
    ----------
    path : Path
        Of the record.
    signature : str
        Of all on which the masks depend.
    """
    try:
        record = read_json(path, JSON_BYTES_MAX)
        if record["signature"] != signature or not is_sealed(path):
            return None
        for name, digest in record["files"].items():
            if sha256(path.parent / name) != digest:
                return None
        rows: Rows = record["masks"]
    except (Unreadable, InputError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return rows


def write_record(path: Path, signature: str, *, files: list[str], rows: Rows) -> None:
    """Write the record of a case whose files are complete.

    Parameters
    ----------
    path : Path
        Of the record.
    signature : str
        As of `read_record`.
    files : list of str
        Names of complete files beside it.
    rows : list of dict
        Of the table ``masks``.
    """
    record = {
        "signature": signature,
        "files": {name: sha256(path.parent / name) for name in files},
        "masks": [{name: _plain(value) for name, value in row.items()} for row in rows],
    }
    text = json.dumps(record, indent=1, sort_keys=True, allow_nan=False) + "\n"
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    seal(path)


def _plain(value: Any) -> Any:
    """Strict JSON has no nan."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
