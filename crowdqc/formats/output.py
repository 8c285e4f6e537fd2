"""What of a study is written, and under which names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdqc.findings import Finding
from crowdqc.formats.images import SPACING
from crowdqc.schema import BOX, READING, ReadingState, Study, stands_in

IMAGE = "{case}-slice{slice}.png"
"""Names of images in the files that are written."""


Scribble = tuple[str, list[tuple[float, float]], bool]
"""Label and corners in px of a line, and whether it lies on the object."""


@dataclass(frozen=True)
class Written:
    """One reading as it is written: names fit for files, size in px, rows of boxes."""

    case: str
    slice: int
    rater: str
    height: int
    width: int
    opened: bool
    boxes: list[tuple[str, float, float, float, float]]
    """Label and corners of each box, in px."""
    points: Sequence[tuple[str, float, float, bool]] = ()
    """Label, place in px, and whether on the object, of each point."""
    scribbles: Sequence[Scribble] = ()
    scores: tuple[float, ...] = ()
    """How far each box may be believed, 0 to 1, where the study says it."""

    @property
    def image(self) -> str:
        """Name of the image, without ending."""
        return f"{self.case}-slice{self.slice:04d}"


class Output:
    """A study made ready for a format: what it cannot say is left out and noted.

    Parameters
    ----------
    study : Study
        What to write.
    format : str
        Name of the format.
    empty_files, says_opened, says_size : bool
        Whether a reading without a box is an empty file, and whether the files can say that an
        image was only opened, and its size.
    holds_points : bool
        Whether the files can say where raters set points.
    model : str
        Name of what made the boxes, where no person did.
    pictures : bool
        Whether pictures lie in ``images/`` beside the annotations.
    """

    def __init__(  # noqa: PLR0913 - a keyword for each thing that a format can say
        self,
        study: Study,
        format: str,
        *,
        empty_files: bool,
        says_opened: bool,
        says_size: bool,
        holds_points: bool = False,
        model: str = "",
        pictures: bool = False,
    ) -> None:
        self.study = study
        self.model = model
        self.pictures = pictures
        self.format = format
        self.losses: list[Finding] = []
        self.has_points = holds_points and len(study.points) > 0
        self.empty_file = self._choose_empty(empty_files=empty_files, says_opened=says_opened)
        self.cases = self._fit_names("cases", study.cases)
        self.raters = self._fit_names("raters", study.raters)
        self.size = self._one_of(["height", "width"])
        self.spacing = self._one_of(SPACING)
        self._note_losses(says_size=says_size)
        if not holds_points:
            message = f"points of raters are left out: {format} is written without them."
            self._lose("points-lost", len(study.points), message)

    def readings(self) -> Iterator[Written]:
        """Every reading that is written, in the order of the study."""
        boxes = {
            key: list(zip(group["label"], *(group[edge] for edge in BOX), strict=True))
            for key, group in self.study.boxes.groupby(READING, sort=False)
        }
        scored = "score" in self.study.boxes
        scores = (
            self.study.boxes.groupby(READING, sort=False)["score"].agg(tuple).to_dict()
            if scored
            else {}
        )
        line = self.study.points["scribble"] != ""
        points = {
            key: list(group[["label", "x", "y", "positive"]].itertuples(index=False, name=None))
            for key, group in self.study.points[~line].groupby(READING, sort=False)
        }
        scribbles: dict[object, list[Scribble]] = {}
        for (*key, _), rows in self.study.points[line].groupby([*READING, "scribble"], sort=False):
            places = list(rows[["x", "y"]].itertuples(index=False, name=None))
            one = (rows["label"].iloc[0], places, bool(rows["positive"].iloc[0]))
            scribbles.setdefault(tuple(key), []).append(one)
        sizes = self.study.images.set_index(["case", "slice"])[["height", "width"]]
        size_of = dict(zip(sizes.index, sizes.itertuples(index=False), strict=True))
        for row in self.written.itertuples():
            size: Any = size_of[row.case, row.slice]
            yield Written(
                self.cases[row.case],
                row.slice,
                self.raters[row.rater],
                size.height,
                size.width,
                row.state == ReadingState.OPENED,
                boxes.get((row.case, row.slice, row.rater), []),
                points.get((row.case, row.slice, row.rater), []),
                scribbles.get((row.case, row.slice, row.rater), []),
                scores.get((row.case, row.slice, row.rater), ()),
            )

    @property
    def written(self) -> pd.DataFrame:
        """The readings that are written."""
        readings = self.study.readings
        if self._keeps_opened:
            return readings
        return readings[~self._only_opened]

    @property
    def _only_opened(self) -> NDArray[np.bool_]:
        """Which readings say nothing at all, not even by a point that is written."""
        readings = self.study.readings
        opened: NDArray[np.bool_] = (readings["state"] == ReadingState.OPENED).to_numpy()
        if not self.has_points:
            return opened
        return opened & ~stands_in(self.study.points, readings, READING)

    def _choose_empty(self, *, empty_files: bool, says_opened: bool) -> str:
        """What an empty file means where a format has them: one thing, the same for all."""
        states = self.study.readings["state"]
        opened = int(self._only_opened.sum())
        only_opened = opened > 0 and not (states == ReadingState.REVIEWED_EMPTY).any()
        as_files = empty_files and only_opened
        self._keeps_opened = says_opened or as_files
        if not self._keeps_opened:
            message = (
                f"readings that were only opened are left out: {self.format} cannot tell them "
                "from slices that were reviewed and hold nothing."
            )
            self._lose("opened-lost", opened, message)
        return "unread" if as_files else "nothing"

    def _note_losses(self, *, says_size: bool) -> None:
        study = self.study
        asked = int((study.readings["labels"] != "").sum())
        self._lose(
            "asked-lost",
            asked,
            "readings were of some labels only, which the format cannot say: all labels will count "
            "as asked for.",
        )
        unread = ~stands_in(self.written, study.images, ["case", "slice"])
        self._lose("unread-lost", int(unread.sum()), "images that nobody read are left out.")
        if self.spacing is None:
            known = int(study.images[SPACING].notna().all(axis=1).sum())
            self._lose("spacing-lost", known, "images have a spacing, not all the same: left out.")
        if self.size is None and not says_size:
            message = (
                f"images have sizes, not all the same, which {self.format} cannot say: give "
                "[images]."
            )
            self._lose("size-lost", len(study.images), message)

    def _lose(self, check: str, n: int, message: str) -> None:
        """Note that `n` things are lost, if any are."""
        if n:
            self.losses.append(Finding(check=check, message=f"{n} {message}", value=float(n)))

    def _fit_names(self, kind: str, names: Iterable[str]) -> dict[str, str]:
        fit = fit_names(names)
        changed = [f"'{name}' is '{new}'" for name, new in fit.items() if name != new]
        shown = "; ".join(ascii(text)[1:-1] for text in changed[:5])
        message = f"{kind} have other names in the files: {shown}."
        self._lose("name-changed", len(changed), message)
        return fit

    def _one_of(self, columns: list[str]) -> list[Any] | None:
        """The values that all images share; `None` where they differ or are not known."""
        rows = self.study.images[columns].drop_duplicates()
        if len(rows) != 1 or rows.isna().any(axis=None):
            return None
        return list(rows.iloc[0].tolist())


def fit_names(names: Iterable[str]) -> dict[str, str]:
    """Name -> name that is fit for a file and differs from all others on every disk."""
    fit: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        plain = re.sub(r"[^\w .+@=,()~-]", "_", name[:100]).strip(" .") or "_"
        unique, n = plain, 1
        while _folded(unique) in taken:
            n += 1
            unique = f"{plain}~{n}"
        taken.add(_folded(unique))
        fit[name] = unique
    return fit


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()
