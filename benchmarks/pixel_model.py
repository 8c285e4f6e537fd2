"""Train the pixel model of `samgen.pixel_model` on organs and patients that no benchmark uses.

    python benchmarks/pixel_model.py ../shared/data CLONE samgen/pixel_model.json
    python benchmarks/pixel_model.py ../shared/data CLONE --check organs
    python benchmarks/pixel_model.py ../shared/data CLONE --check scans

CLONE is a checkout of github.com/wasserth/TotalSegmentator: its tests have the rest of the trunk
of which ``../shared/data`` has a part, and an MR of the abdomen.

It learns from the labels of all CT scans that `volume3d.ORGANS` does not name (the part of 3 mm in
three planes), from all of that MR, and from the hippocampi that `volume3d.py` does not draw (some
of them in three planes, too). Each is shown in tight, noisy and faulty boxes, with all slices, with
13 % of them lost, and as four slices at most; and turned, stretched, of other contrast, noisier, in
thicker slices; those of the trunk also magnified, as a thin slab of a finer scan would show them.
The embedded model of volumes draws each object; pixels round it are taken at random.

``--check`` measures what is gained on what was not learned from: ``organs`` trains four times,
each time without a fourth of the labels and patients; ``scans`` four times, each time without one
scan, or without all hippocampi. Needs PyTorch; nothing of it is left in the file that is written.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from pixel_tasks import Task, tasks

from samgen.pixel_features import features_of
from samgen.pixel_model import ARRAYS, NOTHING_LEARNED, NUMBERS, PixelModel
from samgen.predictors.intensity3d import VERSION, Draft, Intensity3DPredictor

PIXELS = 800
"""Of each object, drawn with replacement."""
NETS = ((12, 1000), (12, 1000), (32, 2000))
"""Hidden units and steps of the networks whose mean the model is."""
RATE, DECAY = 4e-3, 1e-3
OBJECTS, SEEN = 48, 400
"""Objects of a step, and pixels of each."""
LIMIT = 2.5
JITTER = 0.15
"""Standard deviation of what is added to a feature of all pixels of an object, in scales."""
SHARE, BORDER_PENALTY = 0.8, 0.05
WEIGHTS = {True: 1.0, False: 0.5}
"""Of a set, in its own plane and in others."""
TRAINED_ON = {
    "CT and MR scans of TotalSegmentator's tests, masks of its model": {
        "source": "github.com/wasserth/TotalSegmentator, commit 0e65a44",
        "licence": "Apache-2.0",
        "part": "two CT scans without the ten labels of benchmarks/volume3d.py, one MR",
    },
    "Medical Segmentation Decathlon, Task04 Hippocampus": {
        "source": "medicaldecathlon.com",
        "licence": "CC BY-SA 4.0",
        "part": "54 of 65 patients, none of those of benchmarks/volume3d.py",
    },
}


class Examples:
    """Pixels of all tasks, and what is known of each of these."""

    def __init__(self, found: Iterator[Task]) -> None:
        model = Intensity3DPredictor(pixels=NOTHING_LEARNED)
        values, truths, rows = [], [], []
        for one in found:
            value, truth, self.names = pixels_of(one, model)
            values.append(value)
            truths.append(truth)
            rows.append(
                {
                    "data": one.data,
                    "axial": one.axial,
                    "altered": one.altered,
                    "group": one.group,
                    "share": WEIGHTS[one.axial] * (0.5 if one.short else 1),
                }
            )
        self.pixels, self.truths, self.rows = np.stack(values), np.stack(truths), pd.DataFrame(rows)

    def weights(self, kept: NDArray[np.bool_]) -> NDArray[np.float64]:
        """How often each task is looked at; all sets alike."""
        n = self.rows.groupby(["data", "axial", "altered"])["share"].transform("size")
        weight = np.where(kept, self.rows["share"] / n, 0)
        return weight / weight.sum()


def pixels_of(
    one: Task, model: Intensity3DPredictor
) -> tuple[NDArray[np.float16], NDArray[np.float16], list[str]]:
    """Features (n, F) of pixels, the share of each that is the organ, and names of features."""
    draft = model.draft(*one.asked())
    named = features_of(draft.frame, draft.sketch, draft.drawings)
    truth = truth_on_grid(one, draft)
    picked = np.random.default_rng(one.seed).integers(0, len(draft.frame.index), PIXELS)
    values = np.stack([value[picked] for value in named.values()], axis=1)
    shown = truth.ravel()[draft.frame.index[picked]]
    return values.astype(np.float16), shown.astype(np.float16), list(named)


def truth_on_grid(one: Task, draft: Draft) -> NDArray[np.float32]:
    """Share of each cell of the grid that is the organ."""
    truth = one.truth[draft.slices][:, *draft.look.region].astype(np.float32)
    step, (_, rows, columns) = draft.look.step, draft.look.grey.shape
    missing = [(0, 0), (0, rows * step - truth.shape[1]), (0, columns * step - truth.shape[2])]
    cells = np.pad(truth, missing).reshape(len(truth), rows, step, columns, step)
    return cells.mean(axis=(2, 4))


def fit(examples: Examples, kept: NDArray[np.bool_]) -> PixelModel:
    """Learn from a part of the tasks: the mean of some networks, as one."""
    weight = examples.weights(kept)
    rng = np.random.default_rng(0)
    some = examples.pixels[rng.choice(len(weight), 600, p=weight)].reshape(-1, len(examples.names))
    mean, scale = some.mean(axis=0, dtype=np.float32), some.std(axis=0, dtype=np.float32) + 0.05
    nets = [
        _fitted(examples, weight, scales=(mean, scale), units=units, steps=steps, seed=seed)
        for seed, (units, steps) in enumerate(NETS)
    ]
    arrays = [[one.detach().numpy() for one in net.parameters()] for net in nets]
    return PixelModel(
        features=tuple(examples.names),
        mean=mean,
        scale=scale,
        limit=LIMIT,
        hidden=np.concatenate([each[0] for each in arrays]).T.copy(),
        bias=np.concatenate([each[1] for each in arrays]),
        out=np.concatenate([each[2][0] for each in arrays]) / len(nets),
        base=float(np.mean([each[3][0] for each in arrays])),
        share=SHARE,
        border_penalty=BORDER_PENALTY,
    )


def _fitted(
    examples: Examples,
    weight: NDArray[np.float64],
    *,
    scales: tuple[NDArray[np.float32], NDArray[np.float32]],
    units: int,
    steps: int,
    seed: int,
) -> torch.nn.Sequential:
    """A network of one hidden layer: cross entropy and soft Dice, two to one."""
    rng, (mean, scale) = np.random.default_rng(seed), scales
    torch.manual_seed(seed)
    out = torch.nn.Linear(units, 1)
    torch.nn.init.zeros_(out.weight)
    net = torch.nn.Sequential(torch.nn.Linear(len(mean), units), torch.nn.ReLU(), out)
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2 * RATE, total_steps=steps)
    for _ in range(steps):
        chosen = rng.choice(len(weight), OBJECTS, p=weight)
        first = int(rng.integers(0, PIXELS - SEEN + 1))
        part = (chosen, slice(first, first + SEEN))
        values = (examples.pixels[part].astype(np.float32) - mean) / scale
        values = torch.from_numpy(values).clamp(-LIMIT, LIMIT)
        values = values + torch.randn(OBJECTS, 1, len(mean)) * JITTER
        truth = torch.from_numpy(examples.truths[part].astype(np.float32))
        optimiser.zero_grad()
        loss(net(values)[..., 0], truth).backward()
        optimiser.step()
        rates.step()
    return net


def loss(odds: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(odds, truth)
    found = torch.sigmoid(odds)
    shared, size = (found * truth).sum(dim=1), found.sum(dim=1) + truth.sum(dim=1)
    return entropy + 0.5 * (1 - (2 * shared + 1) / (size + 1)).mean()


def dice_of(one: Task, model: Intensity3DPredictor) -> float:
    """Dice of an object on its slices."""
    found = model.predict(*one.asked())
    mask = found.probability.mean(axis=0) > 0.5
    shared = (mask & one.truth[np.array(found.slices)][:, *found.region]).sum()
    return 2 * int(shared) / int(mask.sum() + one.truth[one.drawn_slices()].sum())


def check(found: Iterator[Task], examples: Examples, left_out: str) -> None:
    """Print what is gained on tasks that were not learned from, of whole organs in their plane."""
    rows, plain = examples.rows, Intensity3DPredictor(pixels=NOTHING_LEARNED)
    part = rows["data"].map(scan_of) if left_out == "scans" else rows["group"].map(fold_of)
    models = {one: Intensity3DPredictor(pixels=fit(examples, part != one)) for one in set(part)}
    gains = []
    for index, one in enumerate(found):
        if one.axial and not one.altered:
            gain = dice_of(one, models[part[index]]) - dice_of(one, plain)
            gains.append(
                {
                    "data": one.data,
                    "boxes": f"{one.kind}{' lost' * (one.lost > 0)}{' short' * one.short}",
                    "gain": gain,
                }
            )
    print(pd.DataFrame(gains).groupby(["data", "boxes"])["gain"].agg(["mean", "size"]).round(4))


def scan_of(data: str) -> str:
    """The scan, or the set, that volumes of this name are of."""
    return data.partition(",")[0] if data.startswith("CT 3 mm") else data


def fold_of(group: str) -> str:
    return str(zlib.crc32(group.encode()) % 4)


def short(numbers: ArrayLike) -> Any:
    """Numbers of four digits, as lists."""
    each = np.asarray(numbers, np.float64)
    return np.reshape([float(f"{n:.4g}") for n in each.ravel()], each.shape).tolist()


def write(model: PixelModel, path: Path) -> None:
    """The file of the package."""
    arrays = {name: short(getattr(model, name)) for name in ARRAYS}
    numbers = {name: short(getattr(model, name)) for name in NUMBERS}
    found = {
        "version": VERSION,
        "trained_by": "benchmarks/pixel_model.py",
        "trained_on": TRAINED_ON,
        "features": list(model.features),
        **numbers,
        **arrays,
    }
    lines = [f" {json.dumps(name)}: {json.dumps(value)}" for name, value in found.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("clone", type=Path)
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--check", choices=["organs", "scans"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    examples = Examples(tasks(given.data, given.clone))
    if given.file:
        write(fit(examples, np.ones(len(examples.rows), bool)), given.file)
    if given.check:
        check(tasks(given.data, given.clone), examples, given.check)


if __name__ == "__main__":
    main()
