"""Names of cases and raters: they become parts of file names, so they must be fit for it."""

from __future__ import annotations

import dataclasses
import re
import unicodedata

from crowdqc.findings import Finding
from crowdqc.formats.draft import Draft
from crowdqc.text import count

NAME_MAX = 200
"""Characters of a name: file systems allow 255 bytes, and endings are added."""

_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f/\\\ud800-\udfff\u2028\u2029]")


def _is_sound(name: str) -> bool:
    r"""Whether `name` can be part of a file name: one line, no path, not too long.

    Examples
    --------
    >>> [_is_sound(name) for name in ("img 1", "..", "../x", "")]
    [True, False, False, False]
    """
    fits = 0 < len(name.encode("utf-8", "replace")) <= NAME_MAX
    return fits and set(name) != {"."} and name.strip() == name and not _UNFIT.search(name)


def sound_names(draft: Draft) -> Draft:
    """Only what has a sound case and rater, with findings about the other names.

    Two names that differ only in upper and lower case are kept and reported: they are one file
    on many disks, and often one person.
    """
    boxes, readings, findings = draft.boxes, draft.readings, list(draft.findings)
    points = draft.points
    for column in ("case", "rater"):
        names = sorted(readings[column].unique())
        unfit = [name for name in names if not _is_sound(name)]
        if unfit:
            findings.append(_unfit(column, unfit))
            boxes = boxes[~boxes[column].isin(unfit)]
            points = points[~points[column].isin(unfit)]
            readings = readings[~readings[column].isin(unfit)]
        findings += _alike(column, [name for name in names if _is_sound(name)])
    boxes, readings = boxes.reset_index(drop=True), readings.reset_index(drop=True)
    return dataclasses.replace(
        draft, boxes=boxes, readings=readings, points=points, findings=findings
    )


def _unfit(column: str, names: list[str]) -> Finding:
    shown = ", ".join(ascii(name)[:80] for name in names[:5]) + (", ..." if len(names) > 5 else "")
    message = (
        f"{count(len(names), f'{column} name')} cannot be part of file names and left out with all "
        f"that was read: {shown}. A name has 1 to {NAME_MAX} characters and no line break, / or \\."
    )
    return Finding(check="name-unfit", message=message, value=float(len(names)))


def _alike(column: str, names: list[str]) -> list[Finding]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(" ".join(_plain(name).casefold().split()), []).append(name)
    return [
        Finding(
            check="names-alike",
            message=f"{' and '.join(same)} {_difference(same)} only, and are kept apart. If they "
            f"are one {column}, give them one name.",
        )
        for same in groups.values()
        if len(same) > 1
    ]


def _plain(name: str) -> str:
    return unicodedata.normalize("NFKC", name)


def _difference(names: list[str]) -> str:
    """In what names differ that are alike; what nobody sees is shown escaped."""
    if len(set(map(_plain, names))) > 1:
        return "differ in upper and lower case or blanks"
    return f"({', '.join(map(ascii, names))}) differ in how Unicode writes the same letters"
