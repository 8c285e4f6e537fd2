"""What models of masks learn from 0, 1, 2, 5 and 10 expert cases: reports/adapt.md.

    python benchmarks/adapt.py ../shared/data --out out/adapt

Two sets: hippocampi (boxes of three simulated raters) and BU-BIL, set 4 (boxes of three real
workers). Two models: the embedded one, and a small SAM that was trained from scratch on drawn
shapes, because no weights were at hand. What is done is kept in --out, so a run that was killed, or
stopped by --minutes, goes on. Everything random has a fixed seed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import torch
from adapt_report import write_report
from bu_bil_crowd import LABEL, box_round, draw_workers, read_pictures
from draws import OutOfTimeError, Units, say
from hippocampus_crowd import Hippocampi
from safetensors.torch import load_file
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from skimage.draw import ellipse
from skimage.filters import gaussian
from skimage.transform import resize

from crowdqc.config import Window
from crowdqc.fusion.members import COLUMN as MEMBERS
from crowdqc.schema import BOX
from crowdqc.volumes import read_labels, to_pictures
from samgen.adapt import GoldCase, Plan, adapt_model
from samgen.adapt.examples import Example, Setting, mean_dice
from samgen.adapt.gold import measure_spread, objects_in
from samgen.adapt.tensors import mask_loss
from samgen.cards import read_constants
from samgen.decoder import decode_with_gradients
from samgen.encoder import encode_early, encode_late
from samgen.predictors.intensity import IntensityPredictor
from samgen.predictors.sam import SamBoxPredictor
from samgen.preparation import place_boxes, prepare_for_sam
from samgen.settings import IntensitySettings, MaskSettings

SOURCES = {"hippocampus": "", "cells": "set4"}
"""Kind of cases -> set of BU-BIL."""
CASES = (1, 2, 5, 10)
"""Expert cases that are learned from; 0 is the model as it was."""
DRAWS = 3
HELD_OUT, TESTED = 3, 20
NOISE_PX = 0.7
"""Of each edge of a simulated rater's box."""
RATERS = 3
SIDE, BU_BIL_SIDE = 96, 48
"""Of the small SAM's input, and the longest side of a BU-BIL picture."""
PLANS = {
    "embedded": Plan(steps=4),
    "small SAM": Plan(steps=10, rate=1e-3),
}
PRETRAINING, BATCH = 400, 4
"""Steps, and drawn shapes of each."""
EVERY = 12
"""Of the slices of a hippocampus only each twelfth is looked at."""


def small_sam() -> Sam:
    """A SAM of SAM's own classes, with random weights."""
    return Sam(
        image_encoder=ImageEncoderViT(
            img_size=SIDE,
            embed_dim=64,
            depth=3,
            num_heads=4,
            out_chans=64,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=4,
            global_attn_indexes=(1, 2),
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=64,
            image_embedding_size=(SIDE // 16, SIDE // 16),
            input_image_size=(SIDE, SIDE),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            transformer_dim=64,
            transformer=TwoWayTransformer(depth=2, embedding_dim=64, num_heads=4, mlp_dim=128),
            iou_head_hidden_dim=64,
        ),
        pixel_mean=[123.675, 116.28, 103.53],
        pixel_std=[58.395, 57.12, 57.375],
    )


def drawn_shape(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A picture of ellipses in noise, and the mask of one of them."""
    grey = gaussian(rng.normal(size=(SIDE, SIDE)), rng.uniform(1, 6))
    grey = rng.uniform(40, 200) + rng.uniform(5, 25) * grey / grey.std()
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    for _ in range(rng.integers(2, 6)):
        middle, half = rng.uniform(15, SIDE - 15, 2), rng.uniform(5, 24, 2)
        mask[:] = False
        mask[ellipse(*middle, *half, shape=mask.shape, rotation=rng.uniform(0, np.pi))] = True
        grey[mask] += rng.choice([-1, 1]) * rng.uniform(15, 90)
    noisy = grey + rng.normal(0, rng.uniform(2, 10), grey.shape)
    return noisy.clip(0, 255).astype(np.uint8), mask


def pretrained(file: Path) -> dict[str, torch.Tensor]:
    """Weights of the small SAM, trained on drawn shapes; kept in a file."""
    if not file.is_file():
        torch.manual_seed(0)
        sam, rng = small_sam(), np.random.default_rng(0)
        optimiser = torch.optim.AdamW(sam.parameters(), lr=1e-3, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=PRETRAINING)
        for step in range(PRETRAINING):
            loss = shapes_loss(sam, [drawn_shape(rng) for _ in range(BATCH)], rng)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            if step % 100 == 0:
                say(f"shapes {step}: loss {loss.item():.3f}")
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        torch.save(sam.state_dict(), part)
        part.replace(file)
    state: dict[str, torch.Tensor] = torch.load(file, weights_only=True)
    return state


def shapes_loss(sam: Sam, shapes: list, rng: np.random.Generator) -> torch.Tensor:
    """Mean loss of drawn shapes whose boxes stray as in SAM's training."""
    pixels = np.stack([prepare_for_sam(picture, SIDE)[0] for picture, _ in shapes])
    encoder = sam.image_encoder
    early = encode_early(encoder, torch.as_tensor(pixels), until=0, attention="augmented")
    features = encode_late(encoder, early, since=0)
    losses = []
    for feature, (_, mask) in zip(features, shapes, strict=True):
        box = np.array(box_round(mask), float)
        box += rng.uniform(-0.1, 0.1, 4) * np.tile(box[2:] - box[:2], 2)
        placed = place_boxes(box[None], picture=(SIDE, SIDE), covered=(SIDE, SIDE))
        logits, ious = decode_with_gradients(sam, feature, torch.as_tensor(placed).float())
        true = torch.as_tensor(mask)[None].float()
        target = torch.nn.functional.adaptive_avg_pool2d(true, logits.shape[-2:])
        losses.append(mask_loss(logits, target, ious))
    return torch.stack(losses).mean()


class Source:
    """Cases of one kind with expert masks, and the boxes that raters drew of them."""

    def __init__(self, cases: dict[str, GoldCase], values: dict[str, int], masks: MaskSettings):
        self.cases, self.values, self.masks = cases, values, masks
        order = np.random.default_rng(0).permutation(sorted(cases))
        self.tested, self.pool = sorted(order[:TESTED].tolist()), order[TESTED:].tolist()

    def raters(self, case: GoldCase, objects: list) -> list[np.ndarray]:
        """The raters' boxes of each object, (R, 4)."""
        rng = np.random.default_rng([len(objects), sum(map(ord, case.name))])
        return [one.box + rng.normal(0, NOISE_PX, (RATERS, 4)) for one in objects]

    @cached_property
    def fused(self) -> pd.DataFrame:
        """Fused boxes of all cases, the mean of each edge, with the raters'."""
        rows = []
        for case in self.cases.values():
            single = dict.fromkeys(self.values, True)
            objects = list(objects_in(case, case.read(), self.values, single=single))
            for one, drawn in zip(objects, self.raters(case, objects), strict=True):
                rows.append((case.name, one.slice, one.label, *drawn.mean(axis=0), drawn))
        return pd.DataFrame(rows, columns=["case", "slice", "label", *BOX, MEMBERS])

    def examples(self, names: list[str]) -> list[Example]:
        spread = measure_spread(self.fused)
        setting = Setting(
            labels=self.values,
            truth_values=self.values,
            single=dict.fromkeys(self.values, True),
            masks=self.masks,
            spread=spread,
            seed=0,
        )
        of = dict(list(self.fused.groupby("case")))
        return [Example(self.cases[name], of[name], setting) for name in names]

    def dealt(self, draw: int) -> tuple[list[str], list[str]]:
        """Cases to learn from, of which the first so many are taken, and those held out."""
        order = np.random.default_rng([draw, 1]).permutation(self.pool).tolist()
        return order[HELD_OUT:], order[:HELD_OUT]


class Cells(Source):
    """Images of BU-BIL with the boxes of three real workers."""

    def __init__(self, cases: dict[str, GoldCase], boxes: dict[str, np.ndarray]):
        super().__init__(
            cases,
            {LABEL: 1},
            MaskSettings(window=Window(level=127.5, width=255), picture="identity"),
        )
        self._boxes = boxes

    def raters(self, case: GoldCase, objects: list) -> list[np.ndarray]:
        return [self._boxes[case.name] for _ in objects]


def hippocampi(data: Path) -> Source:
    study = Hippocampi(data)
    images, values = study.config.images, study.config.label_values
    cases = {}
    for case, path in study.truth.items():
        read = partial(read_truth, path, images.picture)
        places = frozenset((k, name) for k in range(0, len(read()), EVERY) for name in values)
        image = study.images[case]
        cases[case] = GoldCase(name=case, patient=case, image=image, read=read, places=places)
    return Source(cases, values, MaskSettings(window=images.window, picture=images.picture))


def read_truth(path: Path, picture: str) -> np.ndarray:
    return to_pictures(read_labels(path)[0], picture)


def cells(data: Path, name: str, folder: Path) -> Cells:
    """A set of BU-BIL, made smaller, each image as a volume of one slice."""
    pictures = [one for one in read_pictures(data) if one.of == name]
    chosen = draw_workers(pictures, RATERS, draw=0)
    cases, boxes = {}, {}
    for one in pictures:
        scale = min(1.0, BU_BIL_SIDE / max(one.grey.shape))
        shape = tuple(max(1, round(n * scale)) for n in one.grey.shape)
        small = resize(one.grey, shape, preserve_range=True, anti_aliasing=True)
        truth = (resize(one.gold.astype(float), shape, order=1) > 0.5).astype(np.int32)[None]
        path = folder / f"{one.case}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        # the first axis of a volume are columns where a picture is taken as it is
        nib.save(nib.Nifti1Image(small.astype(np.float32)[..., None], np.eye(4)), path)
        cases[one.case] = GoldCase(
            name=one.case, patient=one.case, image=path, read=partial(as_is, truth)
        )
        factor = np.tile(np.array(shape[::-1]) / one.grey.shape[::-1], 2)
        boxes[one.case] = np.array([one.boxes[k] for k in chosen[one.case]], float) * factor
    return Cells(cases, boxes)


def as_is(truth: np.ndarray) -> np.ndarray:
    return truth


def make_sam(state: dict[str, torch.Tensor]) -> SamBoxPredictor:
    sam = small_sam()
    sam.load_state_dict(state)
    sam.eval().requires_grad_(requires_grad=False)
    return SamBoxPredictor(sam, name="small SAM", digest="")


def learned(model: str, file: Path, state: dict[str, torch.Tensor]) -> object:
    """The model that a file holds."""
    if model == "small SAM":
        return make_sam(state | load_file(file))
    usual = IntensitySettings()
    return IntensityPredictor(labels={k: usual.having(v) for k, v in read_constants(file).items()})


def tested(source: Source, model: object) -> dict[str, float]:
    return {one.case.name: mean_dice(one, model) for one in source.examples(source.tested)}


def before(source: Source, make: Callable) -> pd.DataFrame:
    """Dice of the test cases by the model as it was."""
    return pd.DataFrame(tested(source, make()).items(), columns=["case", "dice"])


def one_run(
    source: Source, model: str, make: Callable, *, n: int, draw: int, file: Path, state: dict
):
    """Dice of the test cases after learning from n cases, and what was decided on the held-out."""
    train, held = source.dealt(draw)
    outcome = adapt_model(
        make(),
        source.examples(train[:n]),
        held_out=source.examples(held),
        spread=measure_spread(source.fused),
        plan=PLANS[model],
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    outcome.write(file)
    gain, low, high = outcome.choice.gain
    found = tested(source, learned(model, file, state))
    frame = pd.DataFrame(found.items(), columns=["case", "dice"])
    return frame.assign(
        step=outcome.choice.step, gain=gain, low=low, high=high, written=int(outcome.choice.better)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("out/adapt"))
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument(
        "--source", choices=SOURCES, action="append", help="Only these, which the page says."
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    units = Units(options.out / "units", options.minutes)
    state = pretrained(options.out / "shapes.pt")
    try:
        parts = [
            frame
            for name in options.source or SOURCES
            for frame in curve(name, options.data, options.out, units=units, state=state)
        ]
    except OutOfTimeError:
        say("out of time; run again to go on")
        return
    write_report(pd.concat(parts, ignore_index=True))


def curve(name: str, data: Path, out: Path, *, units: Units, state: dict) -> Iterator[pd.DataFrame]:
    """Rows of one kind of cases: before, and after each number of cases and draw."""
    source = (
        hippocampi(data) if name == "hippocampus" else cells(data, SOURCES[name], out / "images")
    )
    makers = {"embedded": IntensityPredictor, "small SAM": partial(make_sam, state)}
    for model, make in makers.items():
        key = f"{name}-{model}".replace(" ", "_")
        zero = units.get(f"{key}-0", partial(before, source, make))
        yield zero.assign(source=name, model=model, draw=0, n=0)
        for draw in range(DRAWS):
            for n in CASES:
                file = out / "models" / f"{key}-{draw}-{n}"
                run = partial(one_run, source, model, make, n=n, draw=draw, file=file, state=state)
                frame = units.get(f"{key}-{draw}-{n}", run)
                yield frame.assign(source=name, model=model, draw=draw, n=n)


if __name__ == "__main__":
    main()
