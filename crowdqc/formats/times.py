"""When slices were read, and how long that took, where files or their contents say so.

What a format says itself is believed. Times of files are not, unless they look like work: a clone,
a copy or a download writes all files anew, one after the other, and nobody may be blamed for that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crowdqc.findings import Finding
from crowdqc.formats.files import parse_number

Floats = NDArray[np.float64]

WHEN = ("time", "seconds")
"""Further columns of readings: when it ended, in seconds since 1970, and the seconds it took."""

WORK = 1.0
"""Median seconds between two files of one rater from which they may have been drawn one by one."""
WRITTEN = 0.1
"""Median seconds below which no person wrote files, however careless: a program did."""
LEAST = 10
"""Files of a rater that say something about the pace."""


def moment(text: object) -> float | None:
    """Seconds since 1970 (UTC) of a date with time in ISO 8601, or of a number of seconds.

    Examples
    --------
    >>> moment("2024-05-01T12:00:00Z"), moment("17.5"), moment("noon")
    (1714564800.0, 17.5, None)
    """
    number = parse_number(str(text))
    if number is not None:
        return number if math.isfinite(number) else None
    try:
        when = datetime.fromisoformat(str(text).strip())
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def file_times(paths: Sequence[str], raters: Sequence[str]) -> tuple[Floats | None, list[Finding]]:
    """When each file was last written, where that can be believed.

    Parameters
    ----------
    paths, raters : sequence of str, length N
        Files, and who drew in each.

    Returns
    -------
    time : ndarray, shape (N,) or None
        Seconds since 1970; nan for an empty file (tools write these by themselves) and for the
        files of a rater that a program wrote. `None` where no time is believed, since the files
        of half of the raters or more, or of all but one, were written faster than anybody works.
    findings : list of Finding
        What was not believed.
    """
    stats = [Path(path).stat() for path in paths]
    time = np.array([s.st_mtime_ns / 1e9 if s.st_size else np.nan for s in stats])
    pace = _paces(time, np.asarray(raters, dtype=object))
    working = [name for name, seconds in pace.items() if seconds >= WORK]
    if len(working) < 2 or 2 * len(working) <= len(pace):
        return None, [_not_believed(len(working), len(pace))]
    written = [name for name, seconds in pace.items() if seconds < WRITTEN]
    time[np.isin(np.asarray(raters, dtype=object), written)] = np.nan
    return time, [_by_program(name, pace[name]) for name in written]


def _paces(time: Floats, rater: NDArray[np.object_]) -> dict[str, float]:
    """Median seconds between two files of each rater who wrote at least `LEAST`."""
    paces = {}
    for name in dict.fromkeys(rater.tolist()):
        mine = np.sort(time[(rater == name) & np.isfinite(time)])
        if len(mine) >= LEAST:
            paces[name] = float(np.median(np.diff(mine)))
    return paces


def _not_believed(n: int, n_raters: int) -> Finding:
    return Finding(
        check="file-times-not-believed",
        message=f"The files of {n} of {n_raters} raters (with {LEAST} files or more) were written "
        f"at the pace of work, a median of {WORK:g} s or more apart: at least two and more than "
        "half are needed. The others' may have been copied, so times of files are not used.",
        value=float(n),
    )


def _by_program(rater: str, seconds: float) -> Finding:
    return Finding(
        check="file-times-not-believed",
        message=f"Rater {rater}: files were written a median of {seconds:.2g} s apart, which no "
        "person does: they were copied, or a program made them. Their times are not used.",
        rater=rater,
        value=seconds,
        limit=WRITTEN,
        unit="s",
    )
