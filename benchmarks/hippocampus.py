"""Does filtering help, and at which dose? Simulated raters, fusion, gate, masks, networks.

    python benchmarks/hippocampus.py ../shared/data --out out/hippocampus
    python benchmarks/hippocampus.py ../shared/data --out out/hippocampus --parts nnunet page

Writes reports/hippocampus.md and result files in reports/data from what is done so far. Each
unit of work is kept in --out, those of the main contrasts first: a run that was killed, or stopped
by --minutes, goes on. The default parts take some two hours of one core, nnU-Net two more.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import math
import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from draws import OutOfTimeError, Units, say
from hippocampus_crowd import (
    FAULTS,
    METHODS,
    SETS,
    Dose,
    Hippocampi,
    Masks,
    dice_of,
    labels_of,
    make_masks,
)
from hippocampus_report import write_report
from unet import UNKNOWN, Training, train

from crowdqc.volumes import read_labels

ROOT = Path(__file__).parents[1]
MAIN = [(faults, 2, per_case) for faults in FAULTS for per_case in (2, 3)]
"""Doses of the main contrasts: kind of fault, careless raters of five, raters a case."""
OTHERS = [(f, n, k) for n in (1, 3, 0, 4) for f in FAULTS for k in (2, 3) if n or f == "noticed"]
"""Without a careless rater the kinds of fault are one."""
DRAWS, TRAINED_DRAWS, SEEDS = 5, 3, 2
SMALL = Training(classes=3, steps=150, rate=2e-2)
ROBUST = Training(classes=3, steps=150, rate=2e-2, robust=0.7)
PAD = (44, 60)
"""Rows and columns of what the small network sees; all slices fit."""
ARMS = [
    *[(method, "none") for method in ("edges", "mean")],
    ("edges", "gate"),
    ("edges", "ignore"),
    ("median", "none"),
    ("mean", "gate"),
    ("mean", "ignore"),
    ("median", "gate"),
    ("median", "ignore"),
    ("mean", "robust"),
]
"""Method of fusion and what is done with the gate's verdict, the main contrasts first; ``robust``
learns from all masks by the generalised cross entropy."""
NNUNET_ARMS = ARMS[:3]
N_MAIN = 2 * 3 * TRAINED_DRAWS * SEEDS
"""Networks of the main contrasts: two doses, three arms."""


class Work:
    """Data, masks on disk, and what is done already."""

    def __init__(self, data: Path, units: Units, *, only_main: bool = False) -> None:
        self.data, self.units, self.out = Hippocampi(data), units, units.folder
        self.doses = (MAIN,) if only_main else (MAIN, OTHERS)

    def masks(self, dose: Dose, method: str) -> Masks:
        """Masks of a dose, drawn once; the manifest and readings are kept beside them."""
        folder = self.out / "drawn" / dose.name / method
        record, readings = folder / "manifest.json", folder / "readings.csv"
        if record.is_file():
            read = pd.read_csv(readings, dtype={"case": str}, keep_default_na=False)
            return Masks(folder, json.loads(record.read_text()), read)
        shutil.rmtree(folder, ignore_errors=True)
        masks = make_masks(self.data, dose, method=method, folder=folder)
        masks.readings.to_csv(readings, index=False)
        record.write_text(json.dumps(masks.manifest))
        return masks

    def labels(self, dose: Dose, method: str, name: str) -> dict[str, np.ndarray]:
        return labels_of(self.data, self.masks(dose, method).sources(self.data), name)


def score_masks(work: Work, dose: Dose) -> pd.DataFrame:
    """Mean Dice over both labels of each training case, before and after the gate, by method."""
    rows = []
    for method in METHODS:
        masks = work.masks(dose, method)
        kept, ignored = (work.labels(dose, method, name) for name in ("filtered", "ignore"))
        before, after = masks.files("unfiltered"), masks.files("filtered")
        for case in work.data.training:
            true = read_labels(work.data.truth[case])[0]
            scores = [dice_files(files.get(case), true) for files in (before, after)]
            unknown = (ignored[case] == UNKNOWN).mean() if case in ignored else np.nan
            rows.append((method, case, *scores, int(case in kept), unknown))
    names = ["method", "case", "dice", "dice_gate", "kept", "ignored"]
    return pd.DataFrame(rows, columns=names).assign(**vars(dose))


def dice_files(path: Path | None, true: np.ndarray) -> float:
    found = np.zeros_like(true) if path is None else read_labels(path)[0]
    return float(np.mean(dice_of(found, true)))


def slices_of(data: Hippocampi, labels: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """All slices of some cases, padded: pictures (N, R, C) and labels (N, R, C)."""
    greys = [padded(data.grey[case]) for case in labels]
    return np.concatenate(greys), np.concatenate([padded(it) for it in labels.values()])


def padded(volume: np.ndarray) -> np.ndarray:
    """Slices (planes, R, C) of a volume (X, Y, planes), with zeros on all sides."""
    stack = np.moveaxis(volume, 2, 0)
    sides = [(0, 0)]
    sides += [
        ((w - n) // 2, w - n - (w - n) // 2) for n, w in zip(stack.shape[1:], PAD, strict=True)
    ]
    return np.pad(stack, sides)


def train_and_test(
    data: Hippocampi, labels: Mapping[str, np.ndarray], settings: Training, *, seed: int
) -> pd.DataFrame:
    """Dice of the test cases by a small network, mean over both labels; none without a case."""
    if not labels:
        return pd.DataFrame({"case": [], "dice": []})
    predict = train(*slices_of(data, labels), settings, seed=seed)
    rows = []
    for case in data.test:
        true = padded(read_labels(data.truth[case])[0])
        found = predict(padded(data.grey[case])).argmax(axis=1)
        rows.append((case, float(np.mean(dice_of(found, true)))))
    return pd.DataFrame(rows, columns=["case", "dice"])


def digest(labels: Mapping[str, np.ndarray], settings: Training) -> str:
    """Of what a network learns from: the same is not learned twice with one seed."""
    found = hashlib.sha256(str(settings).encode())
    for case in sorted(labels):
        found.update(case.encode() + labels[case].astype(np.int8).tobytes())
    return found.hexdigest()[:16]


def train_small(work: Work, dose: Dose, arm: tuple[str, str], *, seed: int) -> pd.DataFrame:
    method, gate = arm
    labels = work.labels(dose, method, SETS.get(gate, "unfiltered"))
    return learned(work, labels, ROBUST if gate == "robust" else SMALL, seed=10 * dose.draw + seed)


def learned(
    work: Work, labels: Mapping[str, np.ndarray], settings: Training, *, seed: int
) -> pd.DataFrame:
    name = f"by_data/{digest(labels, settings)}-{seed}"
    make = partial(train_and_test, work.data, labels, settings, seed=seed)
    return work.units.get(name, make).assign(trained_on=len(labels))


def train_truth(work: Work, draw: int, seed: int) -> pd.DataFrame:
    """The expert's own labels; they do not depend on the raters."""
    read = {case: read_labels(work.data.truth[case])[0] for case in work.data.training}
    found = learned(work, read, SMALL, seed=10 * draw + seed)
    return found.assign(draw=draw, seed=seed)


def run_masks(work: Work) -> None:
    for doses in work.doses:
        for draw in range(DRAWS):
            for faults, careless, per_case in doses:
                dose = Dose(faults, careless, per_case, draw)
                work.units.get(f"masks/{dose.name}", partial(score_masks, work, dose))


def trainings(work: Work) -> Iterator[tuple[Dose, tuple[str, str], int]]:
    """Dose, arm and seed of each small network: the main contrasts, then the rest with one seed."""
    parts = [
        (MAIN[:2], ARMS[:3], SEEDS),
        (MAIN[:2], ARMS[3:], SEEDS),
        (MAIN[2:], ARMS, SEEDS),
        *((doses, ARMS, 1) for doses in work.doses[1:]),
    ]
    for doses, arms, seeds in parts:
        for seed, draw in itertools.product(range(seeds), range(TRAINED_DRAWS)):
            for what, arm in itertools.product(doses, arms):
                yield Dose(*what, draw), arm, seed


def run_networks(work: Work) -> None:
    for number, (dose, arm, seed) in enumerate(trainings(work)):
        if number == N_MAIN:
            run_truth(work)
        make = partial(one_network, work, dose, arm, seed=seed)
        work.units.get(f"networks/{dose.name}/{arm[0]}-{arm[1]}-{seed}", make)


def run_truth(work: Work) -> None:
    for seed, draw in itertools.product(range(SEEDS), range(TRAINED_DRAWS)):
        work.units.get(f"truth/{draw}-{seed}", partial(train_truth, work, draw, seed))


def one_network(work: Work, dose: Dose, arm: tuple[str, str], *, seed: int) -> pd.DataFrame:
    found = train_small(work, dose, arm, seed=seed)
    return found.assign(method=arm[0], gate=arm[1], seed=seed, **vars(dose))


def run_nnunet(work: Work) -> None:
    """nnU-Net itself for the main contrasts: the noticed faults, three draws, two trainings."""
    for draw in range(TRAINED_DRAWS):
        for seed in range(SEEDS):
            for what in MAIN[:2]:
                for arm in NNUNET_ARMS:
                    dose = Dose(*what, draw)
                    make = partial(one_nnunet, work, dose, arm, seed=seed)
                    work.units.get(f"nnunet/{dose.name}/{arm[0]}-{arm[1]}-{seed}", make)


def one_nnunet(work: Work, dose: Dose, arm: tuple[str, str], *, seed: int) -> pd.DataFrame:
    """Dice of the test cases by an nnU-Net that was trained on all training cases of a set."""
    from train.dataset import build_dataset
    from train.environment import Folders
    from train.run import predict, prepare, train_fold
    from train.study import plan_set

    method, gate = arm
    data, settings = work.data, work.data.config.train
    base = work.out / "nnunet_work" / f"{dose.name}-{method}-{gate}-{seed}"
    folders = Folders(base)
    plan = plan_set(data.config, work.masks(dose, method).sources(data), SETS[gate])
    build_dataset(folders.raw, plan)
    prepare(folders, plan.folder, settings=settings, seed=seed)
    train_fold(folders, plan.folder, fold="all", settings=settings)
    predict(folders, plan.folder, output=base / "found", settings=settings, folds=["all"])
    rows = [
        (case, dice_files(base / "found" / f"{case}.nii.gz", read_labels(data.truth[case])[0]))
        for case in data.test
    ]
    shutil.rmtree(base)
    found = pd.DataFrame(rows, columns=["case", "dice"])
    return found.assign(method=method, gate=gate, seed=seed, **vars(dose))


PARTS = {"masks": run_masks, "networks": run_networks, "nnunet": run_nnunet}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder that holds hippocampus/")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "hippocampus")
    parser.add_argument("--report", type=Path, default=ROOT / "reports")
    known = [*PARTS, "page"]
    parser.add_argument("--parts", nargs="+", choices=known, default=["masks", "networks", "page"])
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so many")
    parser.add_argument("--only-main", action="store_true", help="the doses of the main contrasts")
    given = parser.parse_args()
    work = Work(given.data, Units(given.out, given.minutes), only_main=given.only_main)
    try:
        for part in [one for one in PARTS if one in given.parts]:
            PARTS[part](work)
    except OutOfTimeError:
        say("stopped by --minutes; the same command goes on")
    if "page" in given.parts:
        write_report(given.out, given.report)


if __name__ == "__main__":
    main()
