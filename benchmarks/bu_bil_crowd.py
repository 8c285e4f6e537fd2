"""BU-BIL with pixels: images, draws of workers, boxes fused and judged, masks of three ways."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

import crowdqc
from crowdqc.agreement import assess_raters
from crowdqc.completeness import assess
from crowdqc.fusion.members import with_members
from crowdqc.judge import judge_raters
from crowdqc.risk import STATED, assess_risk
from crowdqc.schema import BOX, Study
from crowdqc.stages.gate import Measured, judge_measured
from samgen.predictors.intensity import IntensityPredictor
from samgen.prompts import make_prompts, prompt_rng
from samgen.settings import PromptSettings
from samgen.slices import draw_objects

SETS = ("set1", "set4", "set5")
WORKERS = 7
LABEL = "cell"
METHODS = ("mean", "median", "edges")
POLICY = crowdqc.load_policy()


@dataclass(frozen=True, eq=False)
class Picture:
    """An image with its experts' mask and those of seven workers."""

    case: str
    of: str
    grey: np.ndarray
    gold: np.ndarray
    workers: np.ndarray

    @cached_property
    def boxes(self) -> list[tuple[int, ...]]:
        """Box round each worker's mask, ``x0, y0, x1, y1`` in px."""
        return [box_round(mask) for mask in self.workers]


def read_pictures(data: Path) -> list[Picture]:
    """All images, set by set, in order of name."""
    folder = data / "bu_bil_masks"
    return [
        Picture(
            f"{name}-{path.stem}",
            name,
            np.array(Image.open(path)),
            _mask(folder / name / "gold" / path.name),
            np.array(
                [
                    _mask(folder / name / "crowd" / f"{path.stem}_w{k}.png")
                    for k in range(1, WORKERS + 1)
                ]
            ),
        )
        for name in SETS
        for path in sorted((folder / name / "images").glob("*.png"))
    ]


def _mask(path: Path) -> np.ndarray:
    return np.array(Image.open(path)) > 0


def box_round(mask: np.ndarray) -> tuple[int, ...]:
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return tuple(map(int, (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)))


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / max(a.sum() + b.sum(), 1))


def draw_workers(pictures: list[Picture], n: int, *, draw: int) -> dict[str, list[int]]:
    """Which n of the seven workers of each image are asked, from 0."""
    rng = np.random.default_rng([n, draw])
    return {one.case: sorted(rng.permutation(WORKERS)[:n].tolist()) for one in pictures}


@dataclass(frozen=True)
class Fused:
    """What came of the boxes of a draw by one method: tables with one row an image at most."""

    study: Study
    consensus: pd.DataFrame
    measured: Measured

    def usable(self, masks: pd.DataFrame | None = None) -> set[str]:
        """Images of which the gate, asked of objects alone, lets box and mask through."""
        measured = Measured(**{**vars(self.measured), "masks": masks})
        judged = judge_measured(measured, POLICY)
        prompts, decision = judged.prompts, judged.decision
        kept = set(prompts.loc[~decision.withheld(prompts), "case"])
        if masks is None:
            return kept
        fine = decision.fine["mask"]
        return kept - set(fine.loc[fine["verdict"] == "reject", "case"])


def study_of(pictures: list[Picture], chosen: Mapping[str, list[int]], name: str) -> Study:
    """The boxes of the chosen workers; worker k of two images is not the same person."""
    rows = [
        (one.case, f"w{k + 1}", *one.boxes[k], *one.grey.shape)
        for one in pictures
        for k in chosen[one.case]
    ]
    boxes = pd.DataFrame(rows, columns=["case", "rater", *BOX, "height", "width"])
    boxes = boxes.assign(slice=0, label=LABEL, box=range(len(boxes)), state="boxed")
    return Study(
        name,
        (LABEL,),
        boxes.drop_duplicates("case")[["case", "slice", "height", "width"]],
        boxes[["case", "slice", "rater", "state"]],
        boxes.drop(columns=["height", "width", "state"]),
        rater_scope="case",
        single=frozenset({LABEL}),
    )


def fuse_all(pictures: list[Picture], chosen: Mapping[str, list[int]]) -> Iterator[tuple]:
    """Set, method and `Fused`: each set is a study of its own, as it was for its workers."""
    for name in SETS:
        own = [one for one in pictures if one.of == name]
        study = study_of(own, chosen, name)
        matched = crowdqc.match(study)
        found = assess_raters(matched)
        complete, findings = assess(study)
        for method in METHODS:
            consensus = crowdqc.fuse(matched, method=method)
            measured = Measured(
                raters=judge_raters(found.raters, found.findings, POLICY),
                completeness=complete,
                consensus=consensus,
                findings={"check": [], "agree": found.findings, "complete": findings},
                rater_scope="case",
                study=study,
            )
            yield name, method, Fused(study, consensus, measured)


class Drawer:
    """Masks of boxes by the embedded model; the same box is drawn once."""

    def __init__(self, pictures: list[Picture]) -> None:
        self.model = IntensityPredictor()
        self.encoded = {one.case: self.model.encode(one.grey) for one in pictures}
        self.known: dict[tuple, np.ndarray] = {}

    def mask(self, case: str, box: np.ndarray) -> np.ndarray:
        """The mask of one prompt, the box itself."""
        key = (case, *box)
        if key not in self.known:
            found = self.model.predict(self.encoded[case], box[None])
            self.known[key] = np.packbits(found.probability[0] > 0.5, axis=1)
        width = self.encoded[case].shape[1]
        return np.unpackbits(self.known[key], axis=1, count=width).astype(bool)

    def shipped(self, fused: Fused) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
        """Masks as `crowdqc masks` makes them, of 16 prompts, and their table."""
        settings, masks, rows = PromptSettings(), {}, []
        for row in with_members(usable_boxes(fused.consensus), fused.study.boxes).itertuples():
            grey = self.encoded[row.case]
            prompts = make_prompts(
                [row.x0, row.y0, row.x1, row.y1],
                raters=row.rater_boxes,
                spread=[row.spread_x0, row.spread_y0, row.spread_x1, row.spread_y1],
                shape=grey.shape,
                rng=prompt_rng(0, case=row.case, slice=0, label=LABEL),
                settings=settings,
            )
            drawn = next(iter(draw_objects(self.model, grey, [prompts])))
            masks[row.case] = np.zeros(grey.shape, bool)
            masks[row.case][drawn.region] = drawn.mean > 0.5
            rows.append({"case": row.case, "slice": 0, "label": LABEL, **drawn.measures})
        return masks, pd.DataFrame(rows)


def usable_boxes(consensus: pd.DataFrame) -> pd.DataFrame:
    return consensus[consensus["state"].isin(("agreed", "single"))]


def risk_of(
    fused: Fused, masks: Mapping[str, np.ndarray], drawn: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The table that the second gate asks: how likely each mask is wrong, on the stated scale."""
    found = assess_risk(
        usable_boxes(fused.consensus),
        [lambda case: masks[case][None].astype(np.int32) if case in masks else None],
        labels={LABEL: 1},
        images=fused.study.images.assign(spacing_x=1.0, spacing_y=1.0, spacing_z=1.0),
        prompts=drawn,
    )
    return found.assign(risk=STATED.probability(found["risk"].to_numpy()), graded_bad=0.0)


def ellipse(box: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The ellipse that touches the sides of a box: what a box says without any pixel."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    across = (x + 0.5 - (box[0] + box[2]) / 2) / ((box[2] - box[0]) / 2)
    down = (y + 0.5 - (box[1] + box[3]) / 2) / ((box[3] - box[1]) / 2)
    return across**2 + down**2 <= 1


def majority(masks: np.ndarray) -> np.ndarray:
    """What more than half of the workers (n, R, C) marked; of two, what both did."""
    return 2 * masks.sum(axis=0) > len(masks)


def staple(masks: np.ndarray) -> np.ndarray:
    """STAPLE as published, on the whole crop."""
    return crowdqc.staple_masks(masks).probability(0) > 0.5


def resized(array: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A picture, or a mask as the share of each pixel, on another grid of pixels."""
    picture = Image.fromarray(array.astype(np.float32))
    smaller = shape[0] < array.shape[0]
    way = Image.Resampling.BOX if smaller else Image.Resampling.BILINEAR
    return np.asarray(picture.resize(shape[::-1], way))
