"""How well the risk of masks finds faults that run along an organ.

    python benchmarks/risk_faults.py ../shared/data --out out/risk_faults [SET ...]

Boxes are tight round the expert masks, each edge moved by a normal error of 5 % of its side and
half a pixel; all raters would agree on them. In `SHARE` of the organs a fault runs along them:

- shifted: on a run of a third to two thirds of the slices, all boxes are moved the same way by 0.6
  to 1 times their size;
- shifted throughout: on all slices;
- neighbour: on such a run, the boxes are those of another label of the slice;
- neighbour throughout: on all slices that both are on;
- swapped: on such a run, two labels have each other's boxes.

The embedded model draws the masks with the default settings. A mask is bad where its Dice is below
0.5. Given is the area under the ROC curve over all masks; the interval is that of 1,000 resamplings
of cases (CT: of organs). The masks of the crowd study have no pixels: there faults move the mask
with its box. On the set `cells`, 61 microscopy images with tight boxes, nothing is made: there the
embedded model draws the dark rim of some cells instead of the cell ("faulty": the middle is empty).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from bu_bil_crowd import Drawer, read_pictures
from numpy.typing import NDArray
from risk import BAD, read_dice, roc_area
from volume3d import CT, MR, ORGANS, boxes_of

from crowdqc.config import Window, load_config
from crowdqc.risk import STATED, assess_risk
from crowdqc.risk.votes import mask_boxes, paired_dice
from crowdqc.schema import BOX
from crowdqc.stages.images import image_files
from crowdqc.stages.truth import truth_files
from crowdqc.volumes import read_geometry, read_labels, read_volume, to_grey, to_pictures
from samgen.generate import Task, generate_masks
from samgen.predictors.intensity import IntensityPredictor
from samgen.settings import MaskSettings, PromptSettings, VolumeSettings

ROOT = Path(__file__).parents[1]
SHARE = 0.25
"""Share of the organs with a fault."""
KINDS = ("none", "shifted", "shifted throughout", "neighbour", "neighbour throughout", "swapped")
RESAMPLES = 1000
PROMPTS = PromptSettings(n_prompts=4, prompt_boxes="fused", jitter="training")
BETWEEN = VolumeSettings(reprompt=True, smooth_mm=2.0)
Boxes = dict[tuple[str, str], dict[int, NDArray]]
"""Case and label -> slice -> box."""


@dataclass(frozen=True)
class Source:
    """Volumes with expert masks, as pictures."""

    name: str
    images: dict[str, Path]
    truth: Callable[[str], NDArray[np.int32]]
    """Case -> labels (planes, rows, columns)."""
    labels: dict[str, int]
    settings: MaskSettings
    draws: int = 1


def hippocampi(root: Path) -> Source:
    os.environ["CROWDQC_DATA"] = str(root.absolute())
    config = load_config(ROOT / "configs" / "hippocampus.toml")
    truth = truth_files(config)
    return source(
        "hippocampus",
        {case: path for case, path in image_files(config).items() if case in truth},
        truth,
        labels=config.label_values,
        settings=settings_of(MR, plane="stored", picture=config.images.picture),
    )


def scans(root: Path) -> Source:
    folder = root / "totalsegmentator_ct"
    return source(
        "ct",
        {"ct": folder / "ct.nii.gz", "dicom": folder / "dicom"},
        {"ct": folder / "seg.nii.gz", "dicom": folder / "dicom_seg.nii.gz"},
        labels={name: value for value, name in ORGANS.items()},
        settings=settings_of(CT, plane="axial", picture="transverse"),
        draws=2,
    )


def settings_of(window: Window, **view: str) -> MaskSettings:
    return MaskSettings(prompts=PROMPTS, volume=BETWEEN, window=window, **view)


def source(
    name: str, images: dict[str, Path], truth: Mapping[str, Path], *, settings, labels, draws=1
) -> Source:
    def read(case: str) -> NDArray[np.int32]:
        found, _ = read_labels(truth[case], plane=settings.plane)
        return to_pictures(found, settings.picture).astype(np.int32)

    return Source(name, images, read, labels, settings, draws)


def good_boxes(one: Source, rng: np.random.Generator) -> tuple[Boxes, dict[str, tuple]]:
    """Noisy boxes of all organs of three slices or more, and the shape of each case."""
    boxes, shapes = {}, {}
    for case in one.images:
        truth = one.truth(case)
        shapes[case] = truth.shape
        for label, value in one.labels.items():
            found = boxes_of(truth == value, "noisy", rng)
            if len(found) >= 3:
                boxes[case, label] = found
    return boxes, shapes


def with_faults(
    boxes: Boxes, kind: str, *, shapes: Mapping[str, tuple], rng: np.random.Generator
) -> tuple[Boxes, dict]:
    """The boxes with faults of a kind, and which slice has which other slice's mask or shift."""
    found = {key: dict(own) for key, own in boxes.items()}
    told: dict[tuple[str, str, int], tuple] = {}
    if kind == "none":
        return found, told
    keys = sorted(boxes)
    touched: set[tuple[str, str]] = set()
    for at in rng.permutation(len(keys))[: round(SHARE * len(keys))]:
        case, label = keys[at]
        others = [k for k in keys if k[0] == case and k[1] != label and k not in touched]
        if (case, label) in touched:
            continue
        touched.add((case, label))
        run = run_of(list(boxes[case, label]), rng, whole="throughout" in kind)
        if "shifted" in kind:
            shift(found[case, label], run, told, key=(case, label), shape=shapes[case], rng=rng)
        elif others:
            other = max(others, key=lambda k: len(set(boxes[k]) & set(run)))
            touched |= {other} if kind == "swapped" else set()
            for k in set(run) & set(boxes[other]):
                found[case, label][k] = boxes[other][k].copy()
                told[case, label, k] = ("of", other[1])
                if kind == "swapped":
                    found[other][k] = boxes[case, label][k]
                    told[case, other[1], k] = ("of", label)
    return found, told


def run_of(slices: list[int], rng: np.random.Generator, *, whole: bool) -> list[int]:
    n = len(slices)
    length = n if whole else max(2, round(rng.uniform(1 / 3, 2 / 3) * n))
    start = rng.integers(n - length + 1)
    return slices[start : start + length]


def shift(own, run, told, *, key, shape, rng) -> None:
    """Move the boxes of a run the same way, within the picture."""
    size = np.max([own[k][2:] - own[k][:2] for k in run], axis=0)
    angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.6, 1.0)
    limit = np.array(shape[:0:-1], float)
    low = np.min([own[k][:2] for k in run], axis=0)
    high = np.max([own[k][2:] for k in run], axis=0)
    step = far * size * np.array([np.cos(angle), np.sin(angle)])
    step = np.where((low + step < 0) | (high + step > limit), -step, step)
    step = np.clip(step, -low, limit - high)
    for k in run:
        own[k] = own[k] + np.tile(step, 2)
        told[(*key, k)] = ("by", *step)


def table_of(boxes: Boxes) -> pd.DataFrame:
    rows = [
        (case, k, label, *box)
        for (case, label), own in boxes.items()
        for k, box in sorted(own.items())
    ]
    table = pd.DataFrame(rows, columns=["case", "slice", "label", *BOX])
    return table.assign(state="agreed", support=2, n_raters=2, method="edges")


def images_of(one: Source, shapes: Mapping[str, tuple]) -> pd.DataFrame:
    parts = []
    for case, path in one.images.items():
        planes, rows, columns = shapes[case]
        grid = read_geometry(path, plane=one.settings.plane)
        width, height, between = grid.picture_spacing(one.settings.picture)
        parts.append(
            pd.DataFrame({"case": case, "slice": range(planes)}).assign(
                height=rows,
                width=columns,
                spacing_x=width,
                spacing_y=height,
                spacing_z=between,
            )
        )
    return pd.concat(parts, ignore_index=True)


def judged(one: Source, kind: str, *, draw: int, out: Path) -> pd.DataFrame:
    """Risk and Dice of each mask."""
    rng = np.random.default_rng([draw, KINDS.index(kind)])
    boxes, shapes = good_boxes(one, rng)
    boxes, told = with_faults(boxes, kind, shapes=shapes, rng=rng)
    prompts = table_of(boxes)
    folder = out / one.name / kind.replace(" ", "_") / str(draw)
    task = Task(labels=one.labels, predictor=IntensityPredictor(), settings=one.settings)
    drawn = generate_masks(prompts, task, images=one.images, out=folder)

    def masks(case: str) -> NDArray:
        found, _ = read_labels(folder / f"{case}.nii.gz", plane=one.settings.plane)
        return to_pictures(found, one.settings.picture)

    def pictures(case: str) -> NDArray:
        values, _ = read_volume(one.images[case], plane=one.settings.plane)
        return to_pictures(to_grey(values, one.settings.window), one.settings.picture)

    table = assess_risk(
        prompts,
        [masks],
        labels=one.labels,
        images=images_of(one, shapes),
        prompts=drawn,
        pictures=pictures,
    )
    return scored(table, one, masks=masks, told=told).assign(draw=draw)


def scored(table: pd.DataFrame, one: Source, *, masks, told) -> pd.DataFrame:
    """The table with the Dice of each mask with the expert's, and whether a fault was made."""
    dice = np.zeros(len(table))
    for (case, label), rows in table.groupby(["case", "label"]).indices.items():
        planes, value = table["slice"].to_numpy()[rows], one.labels[label]
        found, true = masks(case)[planes] == value, one.truth(case)[planes] == value
        dice[rows] = np.nan_to_num(paired_dice(found, true))
    keys = zip(table["case"], table["label"], table["slice"], strict=True)
    return table.assign(dice=dice, fault=[key in told for key in keys])


def crowd(root: Path, kind: str, *, draw: int) -> pd.DataFrame:
    """Risk and Dice of the masks of the crowd study; a fault moves a mask with its box."""
    os.environ["CROWDQC_DATA"] = str(root.absolute())
    config = load_config(ROOT / "configs" / "btcv.toml")
    folder, values = root / "btcv_crowd", config.label_values
    rng = np.random.default_rng([draw, KINDS.index(kind)])
    stacks, shapes, boxes = {}, {}, {}
    for path in sorted((folder / "SAM-labels").glob("*.nii.gz")):
        case = path.name[5:-7]
        found, _ = read_labels(path)
        stacks[case] = to_pictures(found, "rot90").astype(np.uint8)
        shapes[case] = stacks[case].shape
        for label, value in values.items():
            mask = stacks[case] == value
            planes = np.flatnonzero(mask.any(axis=(1, 2)))
            if len(planes) >= 3:
                own = mask_boxes(mask[planes])
                boxes[case, label] = dict(zip(planes.tolist(), own, strict=True))
    faulty, told = with_faults(boxes, kind, shapes=shapes, rng=rng)
    new = {case: stack.copy() for case, stack in stacks.items()}
    for case, label, k in told:
        new[case][k][stacks[case][k] == values[label]] = 0
    for (case, label, k), (how, *what) in told.items():
        value = values[label]
        if how == "of":
            mask = stacks[case][k] == values[what[0]]
        else:
            x, y = np.round(what).astype(int)
            mask = np.roll(stacks[case][k] == value, (y, x), axis=(0, 1))
        new[case][k][mask] = value
    spacing = {case: read_geometry(folder / "SAM-labels" / f"label{case}.nii.gz") for case in new}
    images = pd.concat(
        [
            pd.DataFrame({"case": case, "slice": range(len(stack))}).assign(
                **dict(
                    zip(("spacing_x", "spacing_y", "spacing_z"), spacing[case].spacing, strict=True)
                )
            )
            for case, stack in new.items()
        ]
    )
    table = assess_risk(table_of(faulty), [new.get], labels=values, images=images)
    dice = read_dice(str(folder / "results" / "BTCV" / "slice_dice.csv"))
    table = table.merge(dice, on=["case", "slice", "label"], how="left")
    keys = zip(table["case"], table["label"], table["slice"], strict=True)
    table["fault"] = [key in told for key in keys]
    return table.assign(dice=table["dice"].mask(table["fault"], 0.0), draw=draw).dropna(
        subset=["dice"]
    )


def cells(root: Path) -> pd.DataFrame:
    """Risk and Dice of the masks of the cells of BU-BIL's set 4, from boxes round the experts'."""
    pictures = [one for one in read_pictures(root) if one.of == "set4"]
    drawer, label = Drawer(pictures), "cell"
    boxes = {(one.case, label): {0: np.array(one.boxes[0], float)} for one in pictures}
    masks = {one.case: drawer.mask(one.case, boxes[one.case, label][0]) for one in pictures}
    images = pd.DataFrame({"case": list(masks), "slice": 0})
    table = assess_risk(
        table_of(boxes),
        [lambda case: masks[case][None].astype(np.uint8)],
        labels={label: 1},
        images=images.assign(spacing_x=1.0, spacing_y=1.0, spacing_z=1.0),
        pictures={one.case: one.grey[None] for one in pictures}.get,
    )
    gold = {one.case: one.gold for one in pictures}
    found = [float(paired_dice(masks[c][None], gold[c][None])[0]) for c in table["case"]]
    return table.assign(dice=found, fault=(table["core_fill"] < 0.5))


def summary(table: pd.DataFrame, by: list[str]) -> dict[str, float]:
    bad, score = (table["dice"] < BAD).to_numpy(), table["risk"].to_numpy()
    groups = list(table.groupby(by).indices.values())
    rng, found = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        rows = np.concatenate([groups[k] for k in rng.integers(len(groups), size=len(groups))])
        if 0 < bad[rows].sum() < len(rows):
            found.append(roc_area(bad[rows], score[rows]))
    low, high = np.quantile(found, [0.025, 0.975])
    stated = STATED.probability(score)
    return {
        "masks": len(table),
        "bad": int(bad.sum()),
        "faulty": int(table["fault"].sum()),
        "auc": roc_area(bad, score),
        "low": low,
        "high": high,
        "stated": float(stated.mean()),
    }


def tables(root: Path, name: str, *, out: Path, kinds) -> Iterator[tuple[str, pd.DataFrame]]:
    one = {"hippocampus": hippocampi, "ct": scans}.get(name, lambda _: None)(root)
    for kind in kinds:
        if name == "cells":
            if kind == "none":
                yield kind, cells(root)
            continue
        if one is None:
            yield kind, crowd(root, kind, draw=0)
            continue
        draws = [judged(one, kind, draw=draw, out=out) for draw in range(one.draws)]
        yield kind, pd.concat(draws, ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("sets", nargs="*", default=["hippocampus", "ct", "btcv", "cells"])
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "risk_faults")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    given = parser.parse_args()
    rows = []
    for name in given.sets:
        by = ["draw", "case", "label"] if name == "ct" else ["case"]
        for kind, table in tables(given.data, name, out=given.out, kinds=given.kinds):
            (given.out / name).mkdir(parents=True, exist_ok=True)
            table.to_csv(given.out / name / f"{kind}.csv", index=False)
            rows.append({"set": name, "fault": kind, **summary(table, by)})
            print(
                pd.DataFrame(rows[-1:]).round(3).to_string(index=False, header=len(rows) == 1),
                flush=True,
            )


if __name__ == "__main__":
    main()
