"""A real crowd with pixels and gold: what fusion and the gate are worth for masks and networks.

    python benchmarks/bu_bil.py ../shared/data --out out/bu_bil             # all but nnU-Net
    python benchmarks/bu_bil.py ../shared/data --out out/bu_bil --parts nnunet page

Writes reports/bu_bil.md and result files in reports/data. What is done is kept in --out, so a run
that was killed, or stopped by --minutes, goes on. Everything random has a fixed seed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import photographs
from bu_bil_crowd import (
    SETS,
    Drawer,
    Fused,
    Picture,
    dice,
    draw_workers,
    ellipse,
    fuse_all,
    majority,
    read_pictures,
    resized,
    risk_of,
    staple,
    usable_boxes,
)
from bu_bil_report import write_report
from draws import OutOfTimeError, Units, say
from unet import Training, train

from crowdqc.config import Train
from crowdqc.schema import BOX
from crowdqc.volumes import read_labels

ROOT = Path(__file__).parents[1]
ASKED = (1, 2, 3, 5, 7)
"""Workers an image."""
DRAWS, TRAINED_DRAWS = 5, 3
FOLDS = 5
SIDE = 48
SMALL = Training(classes=2, steps=120, rate=2e-2, turns=True)
LEARNED = ("set4", "set5")
"""Sets for networks. Those of set 1, thin cells on large pictures, no small network finds: trained
on gold its Dice there is 0.1, so that nothing can be compared."""
NNUNET = Train(
    configuration="2d",
    device="cpu",
    epochs=20,
    iterations=15,
    optimizer="adam",
    save_every=4,
    features=8,
    memory_gb=0.02,
    workers=0,
    compile=False,
    mirror=True,
)
NNUNET_SIDE = 128
"""Longest side of a picture for nnU-Net, in px."""
NNUNET_ARMS = ("edges", "gate", "majority", "one", "gold")


def draws_of(n: int, draws: int) -> range:
    """Seven of seven workers can be drawn in one way only."""
    return range(1 if n == 7 else draws)


class Study:
    """The images and what is drawn of them; masks are made when they are first asked for."""

    def __init__(self, data: Path) -> None:
        self.pictures = read_pictures(data)
        self.by_case = {one.case: one for one in self.pictures}
        self.learned = [one for one in self.pictures if one.of in LEARNED]
        self._drawer: Drawer | None = None

    @property
    def drawer(self) -> Drawer:
        if self._drawer is None:
            self._drawer = Drawer(self.pictures)
        return self._drawer

    def drawn(
        self, n: int, draw: int, *, sets: tuple[str, ...] = SETS
    ) -> Iterator[tuple[str, Fused, dict[str, np.ndarray]]]:
        """Method, fused boxes of a set, and the embedded model's masks of them by case."""
        chosen = draw_workers(self.pictures, n, draw=draw)
        for name, method, fused in fuse_all(self.pictures, chosen):
            if name not in sets:
                continue
            boxes = usable_boxes(fused.consensus)
            places = zip(boxes["case"], boxes[BOX].to_numpy(float), strict=True)
            yield method, fused, {case: self.drawer.mask(case, box) for case, box in places}

    def labels(self, arm: str, n: int, draw: int) -> dict[str, np.ndarray]:
        """The masks that a network of one arm learns from, by case; images without are left out."""
        chosen = draw_workers(self.pictures, n, draw=draw)
        if arm == "gold":
            return {one.case: one.gold for one in self.learned}
        if arm == "one":
            return {one.case: one.workers[chosen[one.case][0]] for one in self.learned}
        if arm == "majority":
            return {one.case: majority(one.workers[chosen[one.case]]) for one in self.learned}
        masks = {}
        for method, fused, drawn in self.drawn(n, draw, sets=LEARNED):
            if method == "edges":
                kept = fused.usable(risk_of(fused, drawn)) if arm == "gate" else set(drawn)
                masks |= {case: mask for case, mask in drawn.items() if case in kept}
        return {case: mask for case, mask in masks.items() if mask.any()}


def score_masks(study: Study, n: int, draw: int) -> pd.DataFrame:
    """Dice to gold of each image by each way, and what the gate says of it."""
    chosen = draw_workers(study.pictures, n, draw=draw)
    rows = {}
    for one in study.pictures:
        own = one.workers[chosen[one.case]]
        ways = {"one": own[0], "majority": majority(own), "staple": staple(own)}
        rows[one.case] = {"set": one.of} | {way: dice(m, one.gold) for way, m in ways.items()}
    for method, fused, masks in study.drawn(n, draw):
        for case, mask in masks.items():
            rows[case][method] = dice(mask, study.by_case[case].gold)
        if method == "edges":
            add_gate(rows, study, fused, masks=masks)
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("case").reset_index()
    return table.assign(workers=n, draw=draw)


def add_gate(
    rows: dict[str, dict], study: Study, fused: Fused, *, masks: Mapping[str, np.ndarray]
) -> None:
    """What the default gate says of each box and mask, and the ellipse in each fused box."""
    risk = risk_of(fused, masks)
    by_box, by_mask = fused.usable(), fused.usable(risk)
    of = risk.set_index("case")["risk"]
    boxes = fused.consensus.set_index("case")
    for case in masks:
        one, box = study.by_case[case], boxes.loc[case, BOX].to_numpy(float)
        rows[case] |= {
            "ellipse": dice(ellipse(box, one.grey.shape), one.gold),
            "expected_error": boxes.loc[case, "expected_error"],
            "kept_boxes": int(case in by_box),
            "kept": int(case in by_mask),
            "risk": of[case],
        }


def score_shipped(study: Study) -> pd.DataFrame:
    """Masks of 16 prompts, as `crowdqc masks` draws them, at three workers: default fusion."""
    rows = []
    chosen = draw_workers(study.pictures, 3, draw=0)
    for _, method, fused in fuse_all(study.pictures, chosen):
        if method == "edges":
            masks, drawn = study.drawer.shipped(fused)
            risk = risk_of(fused, masks, drawn)
            kept, of = fused.usable(risk), risk.set_index("case")["risk"]
            rows += [
                (case, dice(mask, study.by_case[case].gold), int(case in kept), of[case])
                for case, mask in masks.items()
            ]
    return pd.DataFrame(rows, columns=["case", "dice", "kept", "risk"])


def folds(pictures: list[Picture]) -> dict[str, int]:
    """Fold of each image; every set is dealt evenly."""
    rng, found = np.random.default_rng(0), {}
    for name in dict.fromkeys(one.of for one in pictures):
        own = [one.case for one in pictures if one.of == name]
        found |= {case: k % FOLDS for k, case in enumerate(rng.permutation(own).tolist())}
    return found


def grey_input(one: Picture, side: int = SIDE) -> np.ndarray:
    grey = resized(one.grey, (side, side))
    return (grey - grey.mean()) / max(float(grey.std()), 1.0)


def cross_validated(study: Study, labels: Mapping[str, np.ndarray], seed: int) -> pd.DataFrame:
    """Dice to gold of each image, by the network that was trained without it."""
    fold = folds(study.learned)
    x = {one.case: grey_input(one) for one in study.learned}
    y = {case: resized(mask, (SIDE, SIDE)) > 0.5 for case, mask in labels.items()}
    rows = []
    for k in range(FOLDS):
        seen = [case for case in y if fold[case] != k]
        held = [case for case in x if fold[case] == k]
        stacks = (np.array([of[case] for case in seen]) for of in (x, y))
        probability = train(*stacks, SMALL, seed=seed)(np.array([x[case] for case in held]))[:, 1]
        for case, found in zip(held, probability, strict=True):
            gold = study.by_case[case].gold
            rows.append((case, dice(resized(found, gold.shape) > 0.5, gold)))
    return pd.DataFrame(rows, columns=["case", "dice"])


def digest(labels: Mapping[str, np.ndarray]) -> str:
    """Of what a network learns from: the same labels are not learned twice with one seed."""
    found = hashlib.sha256(f"{SMALL} {SIDE} {FOLDS}".encode())
    for case in sorted(labels):
        found.update(case.encode() + np.packbits(labels[case]).tobytes())
    return found.hexdigest()[:16]


def trainings() -> Iterator[tuple[str, int, int]]:
    """Arm, workers and draw of every network, those of three workers first."""
    for draw in range(TRAINED_DRAWS):
        yield "gold", 7, draw
        yield "one", 1, draw
        for n in (3, 1, 2, 5, 7):
            for arm in ("majority", "edges", "gate") if n > 1 else ("edges", "gate"):
                yield arm, n, draw


def train_one(study: Study, units: Units, what: tuple[str, int, int]) -> pd.DataFrame:
    arm, n, draw = what
    labels = study.labels(arm, n, 0 if n == 7 else draw)
    name = f"by_data/{digest(labels)}-{draw}"
    found = units.get(name, lambda: cross_validated(study, labels, draw))
    return found.assign(arm=arm, workers=n, draw=draw, trained_on=len(labels))


def nnunet_fold(study: Study, out: Path, *, arm: str, fold: int) -> pd.DataFrame:
    """Dice to gold of the images of one fold, by an nnU-Net trained on the others."""
    from train.environment import Folders
    from train.run import predict, prepare, train_fold

    folders, number = Folders(out / "nnunet"), 701 + NNUNET_ARMS.index(arm)
    dataset = f"Dataset{number}_bil-{arm}"
    held = write_dataset(study, folders.raw / dataset, study.labels(arm, 3, 0))
    prepare(folders, dataset, settings=NNUNET)
    train_fold(folders, dataset, fold=fold, settings=NNUNET)
    output = out / "nnunet" / "predictions" / f"{arm}-{fold}"
    images = folders.raw / dataset / f"held_{fold}"
    predict(folders, dataset, output=output, settings=NNUNET, images=images, folds=[fold])
    rows = []
    for case in held[fold]:
        gold = study.by_case[case].gold
        found, _ = read_labels(output / f"{case}.nii.gz")
        rows.append((case, dice(resized(found[:, :, 0] == 1, gold.shape) > 0.5, gold)))
    return pd.DataFrame(rows, columns=["case", "dice"]).assign(arm=arm, fold=fold)


def write_dataset(
    study: Study, folder: Path, labels: Mapping[str, np.ndarray]
) -> dict[int, list[str]]:
    """A raw dataset of nnU-Net, once, with held-out images by fold beside it; these by fold."""
    import nibabel

    fold = folds(study.learned)
    held = {k: [case for case, of in fold.items() if of == k] for k in range(FOLDS)}
    if (folder / "dataset.json").is_file():
        return held

    def write(array: np.ndarray, name: str) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(array[:, :, None], np.eye(4)), path)

    for one in study.learned:
        scale = min(1.0, NNUNET_SIDE / max(one.grey.shape))
        shape = tuple(max(8, round(side * scale)) for side in one.grey.shape)
        grey = resized(one.grey, shape).astype(np.float32)
        write(grey, f"held_{fold[one.case]}/{one.case}_0000.nii.gz")
        if one.case in labels:
            write(grey, f"imagesTr/{one.case}_0000.nii.gz")
            mask = resized(labels[one.case], shape) > 0.5
            write(mask.astype(np.uint8), f"labelsTr/{one.case}.nii.gz")
    splits = [
        {
            "train": [case for case in labels if fold[case] != k],
            "val": [case for case in labels if fold[case] == k],
        }
        for k in range(FOLDS)
    ]
    (folder / "splits_final.json").write_text(json.dumps(splits))
    described = {
        "channel_names": {"0": "grey"},
        "labels": {"background": 0, "cell": 1},
        "numTraining": len(labels),
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(described))
    return held


def run_masks(study: Study, units: Units, _: Path) -> None:
    for draw in range(DRAWS):
        for n in ASKED:
            if draw in draws_of(n, DRAWS):
                units.get(f"masks/{n}-{draw}", partial(score_masks, study, n, draw))
    units.get("shipped/3-0", partial(score_shipped, study))


def run_networks(study: Study, units: Units, _: Path) -> None:
    for what in trainings():
        name = "networks/{}-{}-{}".format(*what)
        units.get(name, partial(train_one, study, units, what))


def run_nnunet(study: Study, units: Units, out: Path) -> None:
    for fold in range(FOLDS):
        for arm in NNUNET_ARMS:
            make = partial(nnunet_fold, study, out, arm=arm, fold=fold)
            units.get(f"nnunet_scores/{arm}-{fold}", make)


PARTS = {"masks": run_masks, "networks": run_networks, "nnunet": run_nnunet}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder that holds bu_bil_masks/")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "bu_bil")
    parser.add_argument("--report", type=Path, default=ROOT / "reports")
    known = [*PARTS, "photographs", "page"]
    parser.add_argument(
        "--parts", nargs="+", choices=known, default=[one for one in known if one != "nnunet"]
    )
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so many")
    given = parser.parse_args()
    units, study = Units(given.out, given.minutes), Study(given.data)
    try:
        for part in [one for one in PARTS if one in given.parts]:
            PARTS[part](study, units, given.out)
        if "photographs" in given.parts:
            photographs.run(given.data, units)
    except OutOfTimeError:
        say("stopped by --minutes; the same command goes on")
    if "page" in given.parts:
        write_report(given.out, given.report)


if __name__ == "__main__":
    main()
