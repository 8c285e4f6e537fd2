"""Hippocampi with simulated raters: who draws how, fusion, gate, masks and what networks learn."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from unet import UNKNOWN

import crowdqc
from crowdqc.agreement import assess_raters
from crowdqc.completeness import assess
from crowdqc.config import Config, FaultyRater, Simulate, load_config
from crowdqc.judge import judge_raters, make_manifest
from crowdqc.matching import Matched
from crowdqc.risk import STATED, assess_risk
from crowdqc.schema import BOX, Study
from crowdqc.simulate import simulate_study
from crowdqc.stages.gate import Measured, judge_measured
from crowdqc.stages.images import image_files
from crowdqc.stages.truth import truth_files
from crowdqc.volumes import (
    from_pictures,
    read_labels,
    read_volume,
    to_grey,
    to_pictures,
    write_labels,
)
from samgen.predictors.intensity import IntensityPredictor
from train.dataset import training_labels
from train.study import Sources, plan_set

STUDY = Path(__file__).parents[1] / "configs" / "hippocampus.toml"
NAMES = ("ada", "ben", "cleo", "dan", "eve")
METHODS = ("mean", "median", "edges")
SETS = {"none": "unfiltered", "gate": "filtered", "ignore": "ignore"}
"""What is done with the gate's verdict -> the set of training data that it makes."""
POLICY = crowdqc.load_policy()
MODEL = IntensityPredictor()
GOOD = FaultyRater(noise=0.7)
FAULTS = {
    "noticed": ("hasty", "shifted"),
    "other": ("large", "slips", "one organ"),
}
"""Kind of fault -> what the careless do, one after the other. The first are those for which checks
were made: a hasty rater who gives up, and one who draws a shifted box for four slices."""
CARELESS = {
    "hasty": FaultyRater(noise=2.5, miss=0.15, stop=0.3),
    "shifted": FaultyRater(noise=1.0, shift=(3.0, -2.0), hold=4),
    "large": FaultyRater(noise=0.7, scale=1.35),
    "slips": GOOD,
    "one organ": GOOD,
}
SLIPS = 0.2
"""Share of its slices on which a rater who slips puts a box beside the organ."""
ORGAN, ORGAN_PX = "posterior", 4.0
"""Label that a rater with one bad organ draws with so much noise, in px."""


@dataclass(frozen=True)
class Dose:
    """One crowd: the kind of faults, how many of five are careless, raters a case, and the draw."""

    faults: str
    careless: int
    per_case: int
    draw: int

    @property
    def name(self) -> str:
        return f"{self.faults}-{self.careless}-{self.per_case}-{self.draw}"

    @property
    def raters(self) -> dict[str, str]:
        """What each rater does; the last are the careless ones."""
        kinds = FAULTS[self.faults]
        wrong = [kinds[k % len(kinds)] for k in range(self.careless)]
        return dict(zip(NAMES, ["good"] * (len(NAMES) - self.careless) + wrong, strict=True))


class Hippocampi:
    """Volumes and expert masks, the last 25 cases by name for testing only."""

    def __init__(self, data: Path) -> None:
        os.environ["CROWDQC_DATA"] = str(data.absolute())
        self.config: Config = load_config(STUDY)
        self.images = image_files(self.config)
        self.truth = truth_files(self.config)
        self.test = list(self.config.dataset.test)
        self.training = [case for case in self.truth if case not in self.test]

    @cached_property
    def true(self) -> dict[str, np.ndarray]:
        """Expert labels of each case as the pictures that people see, (planes, rows, columns)."""
        picture = self.config.images.picture
        read = {case: read_labels(path)[0] for case, path in self.truth.items()}
        return {case: to_pictures(it, picture).astype(np.int32) for case, it in read.items()}

    @cached_property
    def grey(self) -> dict[str, np.ndarray]:
        """Grey values of each case, (X, Y, planes), as networks see them."""
        window = self.config.images.window
        volumes = {case: read_volume(path)[0] for case, path in self.images.items()}
        greys = {case: to_grey(it, window).astype(np.float32) for case, it in volumes.items()}
        return {case: (it - it.mean()) / it.std() for case, it in greys.items()}

    @cached_property
    def encoded(self) -> dict[str, list[Any]]:
        """Each picture of the training cases as the embedded model sees it."""
        images, found = self.config.images, {}
        for case in self.training:
            grey = to_grey(read_volume(self.images[case])[0], images.window)
            found[case] = [MODEL.encode(one) for one in to_pictures(grey, images.picture)]
        return found

    def probability(self, row: Any) -> np.ndarray:
        """The embedded model's mask of one row of the table ``consensus``, (rows, columns)."""
        box = np.array([[row.x0, row.y0, row.x1, row.y1]])
        return MODEL.predict(self.encoded[row.case][row.slice], box).probability[0]

    def draw(self, dose: Dose) -> Study:
        """What the raters of a crowd draw on the training cases."""
        kinds = dose.raters
        simulate = Simulate(
            raters_per_case=dose.per_case,
            raters={name: CARELESS.get(kind, GOOD) for name, kind in kinds.items()},
        )
        truths = ((case, self.true[case]) for case in self.training)
        values = self.config.truth_values
        study = simulate_study(
            truths, name="hippocampus", labels=values, simulate=simulate, seed=dose.draw
        )
        rng = np.random.default_rng([dose.draw, dose.careless, dose.per_case])
        boxes = study.boxes
        for name, kind in kinds.items():
            mine = (boxes["rater"] == name).to_numpy()
            if kind == "slips":
                boxes = slipped(boxes, mine & (rng.random(len(boxes)) < SLIPS), rng)
            if kind == "one organ":
                boxes = shaken(boxes, mine & (boxes["label"] == ORGAN).to_numpy(), rng)
        boxes = inside(boxes, study.images)
        return Study(
            study.name, study.labels, study.images, study.readings, boxes, single=study.single
        )


def slipped(boxes: pd.DataFrame, chosen: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """Some boxes moved by their own size, to one of four sides."""
    corners = boxes[BOX].to_numpy(float)
    step = np.array([(1, 0), (-1, 0), (0, 1), (0, -1)])[rng.integers(4, size=len(boxes))]
    moved = corners + np.tile(step * (corners[:, 2:] - corners[:, :2]), 2)
    return boxes.assign(**dict(zip(BOX, np.where(chosen[:, None], moved, corners).T, strict=True)))


def shaken(boxes: pd.DataFrame, chosen: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """Some boxes with noise on every edge."""
    corners = boxes[BOX].to_numpy(float)
    moved = corners + chosen[:, None] * rng.normal(0, ORGAN_PX, corners.shape)
    return boxes.assign(**dict(zip(BOX, moved.T, strict=True)))


def inside(boxes: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Boxes cut at the edges of the picture and at least 1 px wide and high."""
    size = boxes.merge(images, on=["case", "slice"], how="left")[["width", "height"]].to_numpy()
    ends = np.sort(boxes[BOX].to_numpy(float).reshape(-1, 2, 2), axis=1)
    low = np.clip(ends[:, 0], 0, size - 1)
    corners = np.hstack([low, np.clip(ends[:, 1], low + 1, size)])
    return boxes.assign(**dict(zip(BOX, corners.T, strict=True)))


@dataclass(frozen=True)
class Masks:
    """Masks of one crowd and one way of fusing: all that was drawn, and what the gate lets by."""

    folder: Path
    manifest: dict[str, Any]
    readings: pd.DataFrame

    def files(self, name: str) -> dict[str, Path]:
        return {p.name[:-7]: p for p in sorted((self.folder / name).glob("*.nii.gz"))}

    def sources(self, data: Hippocampi) -> Sources:
        """What `crowdqc dataset` would make its datasets of."""
        return Sources(
            images=data.images,
            masks=self.files("filtered"),
            unfiltered=self.files("unfiltered"),
            manifest=self.manifest,
            truth=data.truth,
            readings=self.readings,
        )


def fuse_and_judge(study: Study, matched: Matched, *, method: str) -> tuple[Measured, Any]:
    """What is to be judged with the boxes of one method, and what the default policy says."""
    found = assess_raters(matched)
    complete, findings = assess(study)
    measured = Measured(
        raters=judge_raters(found.raters, found.findings, POLICY),
        completeness=complete,
        consensus=crowdqc.fuse(matched, method=method),
        findings={"check": [], "agree": found.findings, "complete": findings},
        study=study,
    )
    return measured, judge_measured(measured, POLICY)


def make_masks(data: Hippocampi, dose: Dose, *, method: str, folder: Path) -> Masks:
    """Boxes, fusion, gate, masks of the embedded model, and the gate again, in one folder.

    One prompt an object, the fused box, slice by slice: masks differ by their boxes alone.
    """
    study = data.draw(dose)
    measured, judged = fuse_and_judge(study, crowdqc.match(study), method=method)
    everything, kept = judged.prompts, judged.prompts[judged.decision.usable(judged.prompts)]
    objects = {row.Index: data.probability(row) for row in everything.itertuples()}
    for name, rows in (("unfiltered", everything), ("filtered", kept)):
        painted = paint(data, rows, objects)
        (folder / name).mkdir(parents=True, exist_ok=True)
        for case, stack in painted.items():
            volume = from_pictures(stack, data.config.images.picture)
            write_labels(folder / name / f"{case}.nii.gz", volume, like=data.images[case])
    risk = risk_of(kept, painted, data=data, study=study)
    again = judge_measured(Measured(**{**vars(measured), "masks": risk}), POLICY)
    manifest = make_manifest(
        again.decision, again.prompts, study=study.name, policy=POLICY, created_from={}
    )
    return Masks(folder, manifest.to_record(), study.readings)


def paint(
    data: Hippocampi, rows: pd.DataFrame, objects: Mapping[Any, np.ndarray]
) -> dict[str, np.ndarray]:
    """Labels of each case, (planes, rows, columns); a pixel goes to the likelier object."""
    values, painted = data.config.label_values, {}
    for case, own in rows.groupby("case"):
        stack = np.zeros(data.true[case].shape, np.uint8)
        best = np.full(stack.shape, 0.5, np.float32)
        for row in own.itertuples():
            wins = objects[row.Index] > best[row.slice]
            stack[row.slice][wins] = values[row.label]
            best[row.slice][wins] = objects[row.Index][wins]
        painted[str(case)] = stack
    return painted


def risk_of(
    prompts: pd.DataFrame, painted: Mapping[str, np.ndarray], *, data: Hippocampi, study: Study
) -> pd.DataFrame:
    """How likely each mask is wrong, as the second gate asks it."""
    spacing = {f"spacing_{axis}": 1.0 for axis in "xyz"}
    found = assess_risk(
        prompts,
        [painted.get],
        labels=data.config.label_values,
        images=study.images.assign(**spacing),
    )
    return found.assign(risk=STATED.probability(found["risk"].to_numpy()), graded_bad=0.0)


def labels_of(data: Hippocampi, sources: Sources, name: str) -> dict[str, np.ndarray]:
    """Labels (X, Y, planes) that a network learns from, as `crowdqc dataset` makes the set."""
    plan = plan_set(data.config, sources, name)
    ignored = len(plan.labels) + 1
    found = {}
    for case in plan.training:
        mask, _ = read_labels(case.mask)
        values = list(plan.labels.values())
        labels = training_labels(
            mask, values=values, unknown=case.unknown, unknown_is=plan.unknown_is
        ).astype(np.int16)
        known = (labels > 0) & (labels < ignored)
        if known.any():
            found[case.case] = np.where(labels == ignored, UNKNOWN, labels)
    return found


def dice_of(found: np.ndarray, true: np.ndarray, n_labels: int = 2) -> list[float]:
    """Dice of each label over the whole volume; 0 where nothing was found."""
    pairs = ((found == k, true == k) for k in range(1, n_labels + 1))
    return [float(2 * (a & b).sum() / (a.sum() + b.sum())) for a, b in pairs]
