"""What a value of a document means: a number, the side of an image, a person, a moment.

Documents are JSON and XML that others made, where a number may stand as text, and a person as a
name, a number or a record.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from crowdqc.config import SIDE_MAX
from crowdqc.formats.files import parse_number
from crowdqc.formats.raters import Made
from crowdqc.formats.times import moment


def number(value: object) -> float | None:
    """The number that a JSON value or a text is; `None` where it is none."""
    if isinstance(value, str):
        return parse_number(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def is_turned(rotation: object) -> bool:
    """Whether a rotation in degrees leaves no box upright where it was; whole turns do."""
    degrees = number(rotation)
    return degrees is None or degrees % 360 != 0


def made(record: Mapping[str, object], *, time: Sequence[str], seconds: str = "") -> Made:
    """When a record says that it was made: by the first of some keys that says it.

    Parameters
    ----------
    record : mapping
        Has an ``id`` where records of the file are numbered.
    time : sequence of str
        Keys of the moment, the first that can be read counts.
    seconds : str
        Key of the seconds spent; empty if the format has none.

    Returns
    -------
    Made
        nan for each of moment, seconds and number that the record lacks.
    """
    times = (moment(record[key]) for key in time if record.get(key) is not None)
    when = next((one for one in times if one is not None), math.nan)
    spent, place = number(record.get(seconds)), number(record.get("id"))
    return Made(when, math.nan if spent is None else spent, math.nan if place is None else place)


def side(value: object) -> float | None:
    """The side of an image in px that `value` is: whole, and of a size that makes sense."""
    length = number(value)
    if length is None or not 1 <= length <= SIDE_MAX or length % 1:
        return None
    return length


def rater_name(value: object) -> str | None:
    """Name of a rater: a text or a number, or that of a person; `None` where it is neither."""
    if isinstance(value, dict):
        names = (rater_name(value.get(key)) for key in ("email", "username", "name", "id"))
        return next((name for name in names if name), None)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = str(value).strip()
    return text or None
