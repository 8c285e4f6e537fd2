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

_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")
_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_REWRITTEN = re.compile(
    rf"\d([.,]\d+)?E\+\d+|\d{{1,2}}-({_MONTHS})(-\d\d)?|({_MONTHS})-\d\d", re.IGNORECASE
)
"""What a spreadsheet makes of long numbers and of names such as 3-4."""
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
    on many disks, and often one person. So are those that a spreadsheet may have made of others.
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
        sound = [name for name in names if _is_sound(name)]
        findings += [*_alike(column, sound), *_rewritten(column, sound)]
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
        plain = " ".join(_plain(name).casefold().split())
        groups.setdefault(_ZEROS.sub("", plain), []).append(name)
    return [
        Finding(
            check="names-alike",
            message=f"{' and '.join(same)} {_difference(same)} only, and are kept apart. If they "
            f"are one {column}, give them one name.",
        )
        for same in groups.values()
        if len(same) > 1
    ]


def _rewritten(column: str, names: list[str]) -> list[Finding]:
    """Where some names, not all, look as a spreadsheet writes numbers and dates."""
    odd = [name for name in names if _REWRITTEN.fullmatch(name)]
    if not odd or (len(odd) == len(names) and not any("+" in name for name in odd)):
        return []
    message = (
        f"{count(len(odd), f'{column} name')} of {len(names)} may have been rewritten by a "
        f"spreadsheet: {', '.join(odd[:5])}{', ...' if len(odd) > 5 else ''}. Several may have "
        "become one, or one may now have two names: write the table anew from its source, with "
        "this column as text."
    )
    return [Finding(check="names-rewritten", message=message, value=float(len(odd)))]


def _plain(name: str) -> str:
    return unicodedata.normalize("NFKC", name)


def _difference(names: list[str]) -> str:
    """In what names differ that are alike; what nobody sees is shown escaped."""
    plain = set(map(_plain, names))
    if len({" ".join(name.casefold().split()) for name in plain}) > 1:
        return "differ in leading zeros, which spreadsheets drop,"
    if len(plain) > 1:
        return "differ in upper and lower case or blanks"
    return f"({', '.join(map(ascii, names))}) differ in how Unicode writes the same letters"
