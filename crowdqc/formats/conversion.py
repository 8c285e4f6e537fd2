"""A `Study` out, in the formats of other tools: the inverse of reading.

Each format is written with a study file beside it, so that `crowdqc check` can read the result.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from crowdqc.findings import Finding, InputError
from crowdqc.formats.coco import write_coco
from crowdqc.formats.cvat import write_cvat
from crowdqc.formats.labelstudio import write_labelstudio
from crowdqc.formats.output import Losses, Output
from crowdqc.formats.studyfile import study_file
from crowdqc.formats.table import write_table
from crowdqc.formats.voc import write_voc
from crowdqc.formats.yolo import write_yolo
from crowdqc.schema import Study

__all__ = ["FORMATS", "convert"]

_WRITERS: dict[str, Callable[[Output, Path], dict[str, object]]] = {
    "yolo": write_yolo,
    "table": write_table,
    "coco": write_coco,
    "cvat": write_cvat,
    "labelstudio": write_labelstudio,
    "voc": write_voc,
}
FORMATS = tuple(_WRITERS)
"""Formats that can be written."""


def convert(study: Study, format: str, folder: Path) -> list[Finding]:
    """Write a study in another format, with a study file that reads it again.

    Parameters
    ----------
    study : Study
        What to write.
    format : str
        One of `FORMATS`.
    folder : Path
        Where to: a folder that is not there yet, or is empty. It appears whole or not at all.

    Returns
    -------
    list of Finding
        What the format cannot say, and what was done about it; empty if nothing is lost.

    Raises
    ------
    InputError
        If the format is unknown, or the folder cannot be written or is not empty.
    """
    if format not in _WRITERS:
        raise InputError(f"'format' must be one of {', '.join(FORMATS)}; got '{format}'.")
    _refuse_full(folder)
    losses = Losses()
    output = Output(study, format, losses)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".part-", dir=folder.parent))
        try:
            _write(output, temporary)
            temporary.chmod(0o755)
            temporary.replace(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror or error}.") from error
    return losses.findings


def _write(output: Output, folder: Path) -> None:
    annotations = _WRITERS[output.format](output, folder)
    (folder / "study.toml").write_text(study_file(output, annotations), encoding="utf-8")


def _refuse_full(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"{folder}: is not an empty folder. Choose another, so that nothing is overwritten."
        )
