"""Pictures of the worst slices: grey pixels, and boxes, masks and uncertainty drawn over them.

Pixels become small PNGs inside the page; boxes and outlines stay vectors, so that they are sharp
at any size and can say whose they are. Where there are no images, boxes stand on a plain canvas.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdqc.findings import Severity
from crowdqc.report.masks import leading, title, worst_masks
from crowdqc.report.pixels import PixelLayer, canvas, crop, layer, outline, uncertainty_colours
from crowdqc.report.raters import colour, dashed, verdicts
from crowdqc.report.results import Results
from crowdqc.report.text import number, readable
from crowdqc.schema import BOX, SPREAD, conform
from crowdqc.text import count

MAX_PICTURES = 24
MAX_PER_RUN = 2
"""Pictures of one organ of one case at most, so that one bad run does not fill the page."""
MARGIN = 3.0
"""Room in px round the fused box within which uncertainty is shown."""


class SliceSource(Protocol):
    """Whatever can show a slice as the raters saw it; `None` where there is nothing."""

    def grey(self, case: str, k: int) -> NDArray[np.uint8] | None:
        """Slice `k` of a case as grey values, shape (rows, columns)."""

    def mask(self, case: str, k: int, label: str) -> NDArray[np.bool_] | None:
        """Mask of a label on the slice, shape (rows, columns)."""

    def uncertainty(self, case: str, k: int) -> NDArray[np.float64] | None:
        """Uncertainty on the slice, in [0, 1], shape (rows, columns)."""


@dataclass(frozen=True)
class DrawnBox:
    """A box to draw: whose, in which colour, where."""

    who: str
    colour: int
    dashed: bool
    rejected: bool
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class SlicePicture:
    """One slice: what it is, why it is shown, and what to draw."""

    case: str
    slice: int
    label: str
    why: str
    view: tuple[float, float, float, float]
    boxes: tuple[DrawnBox, ...]
    fused: tuple[DrawnBox, ...] = ()
    spread: str = ""
    outline: str = ""
    image: PixelLayer | None = None
    uncertainty: PixelLayer | None = None

    @property
    def alt(self) -> str:
        """The picture in words."""
        who = ", ".join(box.who for box in self.boxes) or "nobody"
        parts = [f"Case {self.case}, slice {self.slice}, {readable(self.label)}: boxes by {who}"]
        parts += ["fused box"] * bool(self.fused) + ["outline of the mask"] * bool(self.outline)
        parts += ["uncertainty"] * bool(self.uncertainty)
        return ", ".join(parts) + "."


@dataclass(frozen=True)
class Candidate:
    """A slice that is worth showing."""

    case: str
    slice: int
    label: str
    why: str


@dataclass(frozen=True)
class _Scene:
    """Rows of the tables that belong to one candidate."""

    boxes: pd.DataFrame = field(repr=False)
    fused: pd.DataFrame = field(repr=False)
    size: tuple[int, int]
    tall: float
    """Height of a pixel in units of its width."""


def pictures(
    results: Results, slice_source: SliceSource | None = None, *, limit: int = MAX_PICTURES
) -> tuple[SlicePicture, ...]:
    """Pictures of the worst slices, the worst first.

    Parameters
    ----------
    results : Results
        Tables of boxes, and of consensus and masks where there are any.
    slice_source : SliceSource, optional
        Gives pixels; without it boxes are drawn on a plain canvas.
    limit : int, optional
        Number of pictures at most.
    """
    wanted = candidates(results)[:limit]
    scenes = _scenes(results, wanted)
    judged = {rater: status == "reject" for rater, (status, _) in verdicts(results).items()}
    raters = {rater: judged.get(rater, False) for rater in results.raters}
    found = {}
    # Case by case, so that a volume is read once.
    for place in sorted(range(len(wanted)), key=lambda i: wanted[i].case):
        found[place] = _picture(
            wanted[place], scenes[place], raters=raters, slice_source=slice_source
        )
    return tuple(picture for _, picture in sorted(found.items()) if picture is not None)


def candidates(results: Results) -> list[Candidate]:
    """Slices to show: worst masks; without masks, dissent and then findings."""
    found: list[Candidate] = []
    number_of: dict[tuple[str, str], int] = {}
    doubtful = () if results.has("masks") else (*_by_dissent(results), *_by_findings(results))
    ours = _drawn_by_usable(results) if doubtful else set()
    doubtful = tuple(c for c in doubtful if (c.case, c.slice, c.label) in ours)
    for candidate in (*_by_masks(results), *doubtful):
        run = (candidate.case, candidate.label)
        if number_of.get(run, 0) < MAX_PER_RUN:
            number_of[run] = number_of.get(run, 0) + 1
            found.append(candidate)
    return list({(c.case, c.slice, c.label): c for c in reversed(found)}.values())[::-1]


def _drawn_by_usable(results: Results) -> set[tuple[str, int, str]]:
    """Objects with a box of a rater who is not rejected: what others drew alone is their fault."""
    rejected = [rater for rater, (status, _) in verdicts(results).items() if status == "reject"]
    boxes = results.table("boxes")
    boxes = boxes.loc[~boxes["rater"].isin(rejected), ["case", "slice", "label"]]
    return set(boxes.itertuples(index=False, name=None))


def _by_masks(results: Results) -> Iterator[Candidate]:
    table = results.table("masks")
    signal = leading(table)
    if not signal:
        return
    for row in worst_masks(table).head(MAX_PICTURES * 20).itertuples(index=False):
        value = getattr(row, signal)
        yield Candidate(row.case, row.slice, row.label, f"{title(signal)} {number(value)}")


def _by_dissent(results: Results) -> Iterator[Candidate]:
    table = results.table("consensus")
    table = table.assign(_spread=table[SPREAD].mean(axis=1))
    apart = table[(table["state"] == "no_consensus") & (table["n_raters"] > 2)].head(MAX_PICTURES)
    wide = table[table["_spread"] > 0].sort_values("_spread", ascending=False, kind="stable")
    for row in wide.head(MAX_PICTURES * 20).itertuples(index=False):
        spread = f"edges differ by {number(row[-1], 1)} px"
        yield Candidate(row.case, row.slice, row.label, spread)
    for row in apart.itertuples(index=False):
        drawn = f"drawn by {row.support} of {row.n_raters}"
        yield Candidate(row.case, row.slice, row.label, drawn)


def _by_findings(results: Results) -> Iterator[Candidate]:
    ranked = sorted(results.findings, key=lambda found: -found.finding.severity.rank)
    for found in ranked:
        finding = found.finding
        case, k, label = finding.case, finding.slice, finding.label
        if case and k is not None and label and finding.severity is not Severity.NOTE:
            yield Candidate(case, k, label, readable(finding.check))


def _scenes(results: Results, wanted: Sequence[Candidate]) -> list[_Scene]:
    """The tables cut down to the wanted slices, at once: they may have a million rows."""
    keys = pd.DataFrame(
        [(c.case, c.slice, c.label) for c in wanted], columns=["case", "slice", "label"]
    )
    boxes = results.table("boxes").merge(keys, on=list(keys.columns))
    fused = _fused_boxes(results).merge(keys, on=list(keys.columns))
    images = results.table("images").merge(keys[["case", "slice"]].drop_duplicates())
    known = {(row.case, row.slice): row for row in images.itertuples(index=False)}
    return [
        _Scene(
            boxes[_here(boxes, c)],
            fused[_here(fused, c)].dropna(subset=BOX),
            *_frame(known.get((c.case, c.slice))),
        )
        for c in wanted
    ]


def _fused_boxes(results: Results) -> pd.DataFrame:
    """What masks were drawn from, where they were drawn; else all fused boxes."""
    prompts = pd.DataFrame(results.manifest.get("prompts") or [])
    if results.has("masks") and len(prompts):
        return conform("consensus", prompts)
    return results.table("consensus")


def _frame(image: Any) -> tuple[tuple[int, int], float]:
    """Rows and columns of a picture, and how tall its pixels are; 1 where that is not known."""
    if image is None:
        return (0, 0), 1.0
    tall = image.spacing_y / image.spacing_x if image.spacing_x > 0 else math.nan
    return (image.height, image.width), tall if 0.05 < tall < 20 else 1.0


def _here(table: pd.DataFrame, c: Candidate) -> Any:
    return (table["case"] == c.case) & (table["slice"] == c.slice) & (table["label"] == c.label)


def _picture(
    c: Candidate, scene: _Scene, *, raters: dict[str, bool], slice_source: SliceSource | None
) -> SlicePicture | None:
    corners = np.vstack([scene.boxes[BOX].to_numpy(), scene.fused[BOX].to_numpy()])
    if not len(corners):
        return None
    view = crop(corners, scene.tall)
    grey = slice_source.grey(c.case, c.slice) if slice_source else None
    mask = slice_source.mask(c.case, c.slice, c.label) if slice_source else None
    uncertainty = slice_source.uncertainty(c.case, c.slice) if slice_source else None
    if uncertainty is not None:
        uncertainty = np.where(judged_region(uncertainty.shape, scene.fused), uncertainty, 0.0)
    return SlicePicture(
        case=c.case,
        slice=c.slice,
        label=c.label,
        why=c.why,
        view=view,
        boxes=tuple(_drawn(r, raters) for r in scene.boxes.itertuples(index=False)),
        fused=tuple(_fused(row) for row in scene.fused.itertuples(index=False)),
        spread="".join(_ring(row) for row in scene.fused.itertuples(index=False)),
        outline=outline(mask) if mask is not None else "",
        image=layer(grey, view) if grey is not None else canvas(scene.size),
        uncertainty=layer(uncertainty_colours(uncertainty), view)
        if uncertainty is not None and uncertainty.any()
        else None,
    )


def judged_region(shape: tuple[int, ...], fused: pd.DataFrame) -> NDArray[np.bool_]:
    """Pixels in or near the fused boxes: further out, nobody asked whether a pixel is the organ.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the slice.
    fused : DataFrame
        ``x0, y0, x1, y1`` and ``spread_x0 .. spread_y1`` of each fused box, px.

    Returns
    -------
    ndarray of bool, shape (rows, columns)
        Each box, widened by two spreads (at most a quarter of its side) and by `MARGIN`.
    """
    inside = np.zeros(shape, dtype=bool)
    boxes = fused[BOX].to_numpy(dtype=np.float64)
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    spread = np.nan_to_num(fused[SPREAD].to_numpy(dtype=np.float64))
    room = np.minimum(2 * spread, sides / 4) + MARGIN
    boxes = boxes + room * np.array([-1.0, -1.0, 1.0, 1.0])
    for x0, y0, x1, y1 in np.rint(np.maximum(boxes, 0.0)).astype(int):
        inside[y0:y1, x0:x1] = True
    return inside


def _drawn(row: Any, raters: dict[str, bool]) -> DrawnBox:
    place = list(raters).index(row.rater)
    out = raters[row.rater]
    box = _rectangle(row, who=f"{row.rater}, rejected" if out else row.rater)
    return replace(box, colour=colour(place), dashed=dashed(place), rejected=out)


def _fused(row: Any) -> DrawnBox:
    who = f"fused from {count(row.support, 'rater')}" if row.support else "fused"
    return replace(_rectangle(row, who=who), dashed=row.state == "no_consensus")


def _rectangle(row: Any, *, who: str) -> DrawnBox:
    x, y, right, bottom = (round(float(v), 1) for v in (row.x0, row.y0, row.x1, row.y1))
    return DrawnBox(who, 0, False, False, x, y, round(right - x, 1), round(bottom - y, 1))  # noqa: FBT003


def _ring(row: Any) -> str:
    """Band of one spread to either side of each edge, as a path of two rectangles."""
    spread = [row.spread_x0, row.spread_y0, row.spread_x1, row.spread_y1]
    if not all(math.isfinite(v) for v in spread):
        return ""
    x0, y0, x1, y1 = row.x0, row.y0, row.x1, row.y1
    outer = (x0 - spread[0], y0 - spread[1], x1 + spread[2], y1 + spread[3])
    inner = (x0 + spread[0], y0 + spread[1], x1 - spread[2], y1 - spread[3])
    if inner[0] >= inner[2] or inner[1] >= inner[3]:
        return _loop(outer)
    return _loop(outer) + _loop(inner)


def _loop(box: Sequence[float]) -> str:
    x0, y0, x1, y1 = (f"{v:.1f}" for v in box)
    return f"M{x0} {y0}H{x1}V{y1}H{x0}z"
