"""A `Study` out, in the formats of other tools: the inverse of reading.

Each format is written with a study file beside it, so that `crowdqc check` can read the result.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from crowdqc.findings import Finding, InputError
from crowdqc.formats.base import formats, load_format
from crowdqc.formats.output import Output
from crowdqc.formats.studyfile import study_file
from crowdqc.schema import Study
from crowdqc.text import must_be_one_of
from crowdqc.writing import new_folder

__all__ = ["convert", "written_formats"]


def written_formats() -> list[str]:
    """Formats that can be written."""
    return [name for name, one in formats().items() if one.write]


def convert(
    study: Study,
    format: str,
    folder: Path,
    *,
    model: str = "",
    pictures: Callable[[Output, Path], None] | None = None,
) -> list[Finding]:
    """Write a study in another format, with a study file that reads it again.

    Parameters
    ----------
    study : Study
        What to write.
    format : str
        One of `written_formats`.
    folder : Path
        Where to: a folder that is not there yet, or is empty. It appears whole or not at all.
    model : str
        Name of what made the boxes, where no person did.
    pictures : callable, optional
        Writes the pictures of what is written into a folder.

    Returns
    -------
    list of Finding
        What the format cannot say, and what was done about it; empty if nothing is lost.

    Raises
    ------
    InputError
        If the format is unknown, or the folder cannot be written or is not empty.

    Examples
    --------
    >>> import tempfile
    >>> import crowdqc
    >>> folder = Path(tempfile.mkdtemp()) / "study"
    >>> crowdqc.convert(crowdqc.Study.from_boxes(crowdqc.example_boxes()), "coco", folder)
    []
    """
    found = {name: one.write for name, one in formats().items() if one.write}
    if format not in found:
        raise InputError(must_be_one_of("format", format, found))
    output = _output(study, format, model=model, pictures=pictures is not None)
    with new_folder(folder) as temporary:
        keys = found[format](output, temporary)
        if pictures is not None:
            pictures(output, temporary)
        (temporary / "study.toml").write_text(study_file(output, keys), encoding="utf-8")
    return output.losses


def _output(study: Study, format: str, *, model: str, pictures: bool) -> Output:
    found = load_format(format)
    return Output(
        study,
        format,
        empty_files=found.one_file_per_slice,
        says_opened=found.says_opened,
        says_size=found.says_size,
        holds_points=found.holds_points,
        model=model,
        pictures=pictures,
    )
