"""Who drew, and which of several readings of a slice by one person counts."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from crowdqc.config import Config
from crowdqc.findings import Finding, InputError
from crowdqc.formats import patterns
from crowdqc.formats.draft import bad_line

KEYS = (
    *("rater", "rater_id", "rad_id", "radiologist", "radiologist_id", "annotator", "annotator_id"),
    *("annotated_by", "labeler", "labeller", "labeled_by", "labelled_by", "labeler_id", "reader"),
    *("reader_id", "reader_session", "worker", "worker_id", "user", "user_id", "user_name"),
    *("created_by", "completed_by", "observer", "observer_id", "expert", "expert_id"),
)
"""What columns and keys are called that say who drew; case, blanks and ``_`` do not matter."""
_SUFFIX = re.compile(r"(?:name|email|login|initials|code)$")
"""What may stand behind them: ``rater_name`` is as ``rater``."""
_NAMES = {name.replace("_", ""): rank for rank, name in enumerate(KEYS)}


@dataclass(frozen=True, eq=False)
class Image:
    """An image of a file: its name, which slice it is, its size (nan: unknown), and its place."""

    name: str
    case: str
    slice: int
    height: float
    width: float
    source: str


@dataclass(frozen=True)
class Made:
    """When a reading ended (s since 1970), the seconds it took, and its number in the tool."""

    time: float = math.nan
    seconds: float = math.nan
    number: float = math.nan


@dataclass
class Reading:
    """What one person recorded of one image in one place of a file."""

    image: Image
    file: str
    path_rater: str | None
    record_rater: str | None
    asked_rater: str | None
    labels: str
    state: str
    made: Made = Made()
    cancelled: bool = False
    boxes: list[tuple[object, ...]] = field(default_factory=list)
    """Label, corners in px and source of each."""
    points: list[tuple[object, ...]] = field(default_factory=list)
    """Label, place in px, whether on the object, and source of each."""
    refused: list[str] = field(default_factory=list)
    """Label of each shape that was left out; "" where it is not known."""
    rater: str = ""

    @property
    def source(self) -> str:
        """Where it stands, for a message."""
        return f"{self.file}:{self.image.source}"


def rater_key(names: Iterable[str]) -> str | None:
    """The column or key that says who drew, if one of them does: the one that says it best.

    Examples
    --------
    >>> rater_key(["label", "Labeled By", "user"]), rater_key(["score"])
    ('Labeled By', None)
    """
    ranks = {name: _rank("".join(filter(str.isalnum, name.casefold()))) for name in names}
    return min((name for name in ranks if ranks[name] >= 0), key=ranks.__getitem__, default=None)


def _rank(plain: str) -> int:
    """Place of a name among those that say who drew, -1 where it is none."""
    bare = _SUFFIX.sub("", plain)
    return _NAMES.get(plain, _NAMES.get(bare, -1))


def check_raters(config: Config, *, file_says: bool = False) -> None:
    """Refuse a study file that says twice, or not at all, who drew.

    Parameters
    ----------
    config : Config
        The study file.
    file_says : bool
        Whether files of this format may name the rater themselves.

    Raises
    ------
    InputError
        If it says both `{rater}` and a rater, or nobody for some label.
    """
    annotations = config.annotations
    in_path = patterns.has(annotations.path, "rater")
    if in_path and (annotations.rater or annotations.rater_of):
        raise InputError(
            f"{config.file}: 'annotations.path' names the rater by {{rater}}, so "
            "'annotations.rater' and 'annotations.rater_of' must go."
        )
    nobody = [name for name in config.label_names if name not in annotations.rater_of]
    if not in_path and not annotations.rater and nobody and not file_says:
        raise InputError(
            f"{config.file}: it is not stated who drew {', '.join(nobody)}. Put {{rater}} into "
            "'annotations.path', or give 'annotations.rater_of' (label = rater) or "
            "'annotations.rater' (one for all)."
        )


def asked(config: Config) -> dict[str, str]:
    """Rater -> labels that the study file says were asked of them ("" for all of them).

    Empty where only the path or the file tells who drew.
    """
    annotations = config.annotations
    if not annotations.rater_of:
        return {annotations.rater: ""} if annotations.rater else {}
    labels: dict[str, list[str]] = {}
    for label in config.label_names:
        rater = annotations.rater_of.get(label) or annotations.rater
        if rater:
            labels.setdefault(rater, []).append(label)
    return {rater: " ".join(names) for rater, names in labels.items()}


def attribute(readings: Sequence[Reading]) -> list[Finding]:
    """Give each reading its rater: the one in its record, else the one in its path.

    Records are followed where each of them names somebody. They are not where they cannot tell
    people apart: where each file has a single name, and the same one reads a slice in the files of
    two raters (as user 1 of everybody's own installation), or a bare number for each rater.

    Returns
    -------
    list of Finding
        One, where path and records name different people.
    """
    both = [one for one in readings if one.path_rater and one.record_rater]
    bare = [one for one in readings if not (one.record_rater or one.boxes or one.refused)]
    by_record = len(both) + len(bare) == len(readings) and bool(both) and _tells(both)
    for one in readings:
        names = (one.record_rater, one.path_rater)[:: 1 if by_record else -1]
        one.rater = names[0] or names[1] or one.asked_rater or ""
    for one in bare if by_record else ():
        one.rater = ""  # an image of a batch, of which no reader is recorded
    other = next((one for one in both if one.path_rater != one.record_rater), None)
    if other is None:
        return []
    followed, left = ("record", "path") if by_record else ("path", "record")
    message = (
        f"{other.source}: its path names the rater '{other.path_rater}', its record "
        f"'{other.record_rater}'. The {followed} is followed everywhere, since the {left} "
        f"{_WHY[followed]}"
    )
    return [Finding(check="rater-differs", message=message)]


_WHY = {
    "record": "may name a batch. If it is right, export one file for each rater.",
    "path": "does not always name somebody, or tells no two people apart.",
}


def _tells(readings: Sequence[Reading]) -> bool:
    """Whether the names in records are those of people, next to the names in paths."""
    in_file, in_path = defaultdict(set), defaultdict(set)
    slices = defaultdict(set)
    for one in readings:
        in_file[one.file].add(one.record_rater)
        in_path[one.record_rater].add(one.path_rater)
        slices[one.image.case, one.image.slice, one.record_rater].add(one.path_rater)
    if any(len(names) > 1 for names in in_file.values()):
        return True
    alone = all(len(names) == 1 for names in in_path.values())
    numbers = all(str(name).isdecimal() for name in in_path)
    return not (alone and numbers) and all(len(names) == 1 for names in slices.values())


def settle(readings: Iterable[Reading]) -> tuple[list[Reading], list[Finding]]:
    """One reading for each slice and rater: the newest that was not cancelled.

    Returns
    -------
    readings : list of Reading
        Those that count, in their order.
    findings : list of Finding
        A note for each that a newer one supersedes; a reject for each where nothing tells which
        of them is newer, and the first is kept.
    """
    groups: dict[tuple[str, int, str], list[Reading]] = {}
    for one in filter(lambda one: one.rater, readings):
        groups.setdefault((one.image.case, one.image.slice, one.rater), []).append(one)
    kept, findings = [], []
    for several in groups.values():
        alive = [one for one in several if not one.cancelled] or several
        ages = [(one.made.time, one.made.number) for one in alive]
        dated = any(all(math.isfinite(age[k]) for age in ages) for k in (0, 1))
        newest = max(alive, key=_age) if dated else alive[0]
        for one in several:
            if one.image is newest.image:
                if one is not newest:  # two names of a record, one rater
                    newest.boxes += one.boxes
                    newest.points += one.points
                    newest.refused += one.refused
            elif dated or one.cancelled:
                findings.append(_superseded(one, newest))
            else:
                findings.append(_twice(one, newest))
        if newest.cancelled:
            newest.boxes.clear()
            newest.points.clear()
        kept.append(newest)
    return kept, findings


def _age(one: Reading) -> tuple[float, float]:
    time, number = one.made.time, one.made.number
    return (time if math.isfinite(time) else -1, number if math.isfinite(number) else -1)


def _superseded(one: Reading, newest: Reading) -> Finding:
    state = "was cancelled" if one.cancelled else "is older"
    return Finding(
        check="annotation-superseded",
        message=f"{one.source}: {state}; {newest.source} of the same rater and slice counts.",
        case=one.image.case,
        slice=one.image.slice,
        rater=one.rater,
        source=one.source,
    )


def _twice(one: Reading, first: Reading) -> Finding:
    message = f"is the same slice, read by the same rater, as {first.source}, which is used."
    where = {"case": one.image.case, "slice": one.image.slice, "rater": one.rater}
    if one.image.name == first.image.name:
        return bad_line("slice-twice", f"{message} Remove one.", one.source, **where)
    message += (
        f" The images are '{first.image.name[-60:]}' and '{one.image.name[-60:]}': make "
        "[annotations] image tell them apart."
    )
    return bad_line("images-merged", message, one.source, **where)
