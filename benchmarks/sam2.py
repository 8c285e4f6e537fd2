"""What samgen's SAM 2.1 costs, against the sum of its parts and the library's own loop.

    python benchmarks/sam2.py                         # tiny, 1024 px, 40 slices: most of an hour
    python benchmarks/sam2.py --side 256 --slices 12  # to try it
    python benchmarks/sam2.py --device cuda

Weights are random: speed does not depend on them. Every contender runs in a process of its own, so
that its peak memory is its own. Given are CPU seconds (on a GPU seconds of the clock), which other
work on the machine disturbs least. "Parts" is the sum of one pass of the encoder a slice, and of
one of memory attention, memory encoder and decoder a slice and direction, each at its mean time in
the same run. "Library" is the session of `transformers`: a box on every prompted slice, then the
video forwards and backwards. Of a prompted slice that gives the mask of the box again, and costs
nothing more; samgen asks its neighbours for a second mask (`propagation_dice`). "Library, second
masks" asks for it as well: of each prompted slice once more, as if that had no box. "Samgen, boxes
alone" remembers nothing (`[masks] memory_slices = 0`), so has neither second masks nor gaps filled.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

PARTS = {"encoder": 1, "memory attention": 2, "memory encoder": 2, "decoder": 2}
"""Part -> how often it is needed a slice: once, or in each direction."""
SHAPE = (400, 512)
"""Rows and columns of the pictures."""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--side", type=int, default=1024, help="of the model's pictures, px")
    parser.add_argument("--slices", type=int, default=40)
    parser.add_argument("--every", type=int, default=1, help="one slice in so many has a box")
    parser.add_argument("--memory", type=int, default=4, help="prompted slices remembered")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", nargs="+", choices=sorted(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--contender", choices=sorted(CONTENDERS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def make_model(options: argparse.Namespace) -> Any:
    """SAM 2.1 tiny with random weights, the same in every process."""
    import torch
    from transformers import (
        Sam2HieraDetConfig,
        Sam2VideoConfig,
        Sam2VideoModel,
        Sam2VisionConfig,
    )

    grid = options.side // 16
    vision = Sam2VisionConfig(
        backbone_config=Sam2HieraDetConfig(image_size=[options.side] * 2),
        backbone_feature_sizes=[[grid * k, grid * k] for k in (4, 2, 1)],
    )
    torch.manual_seed(0)
    model = Sam2VideoModel(
        Sam2VideoConfig(
            vision_config=vision,
            prompt_encoder_config={"image_size": options.side},
            image_size=options.side,
            memory_attention_rope_feat_sizes=[grid, grid],
        )
    )
    for module in model.modules():  # as torch begins: the library's own are so small that all is 0
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            module.reset_parameters()
    with torch.no_grad():  # what it is asked for is always there
        model.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(100)
    return model.eval().requires_grad_(requires_grad=False).to(options.device)


def make_problem(options: argparse.Namespace) -> tuple[Any, Any]:
    """A volume, and an object with one prompt on some of its slices."""
    from samgen.predictor import Prompts
    from samgen.volume_predictor import ObjectPrompts, Volume

    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (options.slices, *SHAPE), dtype=np.uint8)
    slices = sorted({*range(0, options.slices, options.every), options.slices - 1})
    boxes = [np.array([100.0 + k, 90, 300 + k, 280]) for k in slices]
    one = ObjectPrompts(
        label="organ",
        slices=tuple(slices),
        prompts=tuple(Prompts(box, box[None], (1,)) for box in boxes),
        spread=np.full((len(slices), 4), np.nan),
        raters=(np.zeros((0, 4)),) * len(slices),
        interpolated=np.zeros(len(slices), bool),
        empty=frozenset(),
        tracked=True,
        again=lambda *_: Prompts(boxes[0], boxes[0][None], (1,)),
    )
    return Volume(pictures, (3.0, 1.0, 1.0), lambda: pictures.astype(np.float32)), one


class Parts:
    """Counts and times the calls of a model's parts."""

    def __init__(self, model: Any, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self.calls = dict.fromkeys(PARTS, 0)
        model.vision_encoder.forward = self.timed("encoder", model.vision_encoder.forward)
        model.memory_attention.forward = self.timed(
            "memory attention", model.memory_attention.forward
        )
        model.memory_encoder.forward = self.timed("memory encoder", model.memory_encoder.forward)
        model._single_frame_forward = self.timed("decoder", model._single_frame_forward)  # noqa: SLF001

    def timed(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            begun = self.clock()
            answer = work(*args, **more)
            self.seconds[name] += self.clock() - begun
            self.calls[name] += 1
            return answer

        return call

    def total(self, slices: int) -> float:
        """What the parts cost together, for an object of so many slices."""
        return sum(
            slices * times * self.seconds[name] / max(self.calls[name], 1)
            for name, times in PARTS.items()
        )


def ours(
    model: Any,
    options: argparse.Namespace,
    *,
    objects: int = 1,
    bf16: bool = False,
    alone: bool = False,
) -> np.ndarray | None:
    from samgen.predictors.sam2 import Sam2Predictor

    volume, one = make_problem(options)
    memory = 0 if alone else options.memory
    predictor = Sam2Predictor(model, name="tiny", digest="", memory=memory, bf16=bf16)
    if objects == 1:
        return predictor.predict(volume, one).probability
    list(predictor.draw(volume, [replace(one, label=f"{n}") for n in range(objects)], _nothing))
    return None


def library(model: Any, options: argparse.Namespace, *, second: bool = False) -> None:
    """The library's session: boxes, then the video in both directions, then second masks."""
    import torch
    from transformers import Sam2VideoInferenceSession, Sam2VideoVideoProcessor

    volume, one = make_problem(options)
    model.config.max_cond_frame_num = options.memory
    prepare = Sam2VideoVideoProcessor(size={"height": options.side, "width": options.side})
    frames = np.repeat(volume.pictures[..., None], 3, axis=3)
    video = prepare(videos=frames, return_tensors="pt").pixel_values_videos[0]
    session = Sam2VideoInferenceSession(
        video=video,
        video_height=SHAPE[0],
        video_width=SHAPE[1],
        inference_device=options.device,
        dtype=torch.float32,
    )
    session.obj_id_to_idx(1)
    scale = options.side / np.array([SHAPE[1], SHAPE[0]] * 2)
    for k, box in zip(one.slices, one.boxes, strict=True):
        points = torch.tensor((box * scale).reshape(1, 1, 2, 2), dtype=torch.float32)
        labels = torch.tensor([[[2, 3]]], dtype=torch.int32)
        session.add_point_inputs(
            0,
            k,
            {"point_coords": points.to(options.device), "point_labels": labels.to(options.device)},
        )
        session.obj_with_new_inputs = [1]
        model(session, frame_idx=k)
    for reverse in (False, True):
        start = options.slices - 1 if reverse else 0
        list(model.propagate_in_video_iterator(session, start_frame_idx=start, reverse=reverse))
    kept = session.output_dict_per_obj[0]["cond_frame_outputs"]
    for k in one.slices if second else ():
        held = kept.pop(k)
        model(session, frame_idx=k)
        kept[k] = held


def _nothing(_: int) -> None:
    """Say nothing of slices that are done."""


CONTENDERS: dict[str, Callable[..., Any]] = {
    "samgen": ours,
    "samgen, three objects": lambda model, options: ours(model, options, objects=3),
    "samgen, bfloat16": lambda model, options: ours(model, options, bf16=True),
    "library": library,
    "library, second masks": lambda model, options: library(model, options, second=True),
    "samgen, boxes alone": lambda model, options: ours(model, options, alone=True),
}


def contend(options: argparse.Namespace) -> None:
    """Run one contender, and leave its times in the folder."""
    import torch

    gpu = options.device != "cpu"

    def clock() -> float:
        if gpu:
            torch.cuda.synchronize()
        return time.perf_counter() if gpu else time.process_time()

    model = make_model(options)
    parts, begun = Parts(model, clock), clock()
    drawn = CONTENDERS[options.contender](model, options)
    found = {
        "seconds": clock() - begun,
        "parts": parts.total(options.slices),
        "calls": parts.calls,
        "each": {name: parts.seconds[name] / max(n, 1) for name, n in parts.calls.items()},
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "device_gib": torch.cuda.max_memory_allocated() / 2**30 if gpu else 0.0,
    }
    (options.folder / "found.json").write_text(json.dumps(found))
    if drawn is not None:
        np.save(options.folder / "drawn.npy", drawn)


def compare(one: np.ndarray, other: np.ndarray) -> str:
    """How far logits lie apart, and of how many pixels the mask differs."""
    near, far = (np.log(p / (1 - p)) for p in (one.astype(float), other.astype(float)))
    differ = ((one > 0.5) != (other > 0.5)).mean()
    return f"{np.abs(near - far).max():.1e} of {np.abs(near).max():.1e}, {differ:.2%} of pixels"


def main() -> None:
    options = parse()
    if options.contender:
        contend(options)
        return
    print(f"{options.slices} slices, a box on one in {options.every}, {options.side} px")
    print("| | seconds | parts | over parts | peak GiB | logits against samgen | calls |")
    print("|---|---|---|---|---|---|---|")
    first = None
    for name in options.only:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, *sys.argv[1:]]
            subprocess.run([*command, "--contender", name, "--folder", folder], check=True)
            run = json.loads((Path(folder) / "found.json").read_text())
            drawn = Path(folder) / "drawn.npy"
            found = np.load(drawn) if drawn.exists() else None
        first = found if first is None else first
        apart = "" if found is None else compare(first, found)
        calls = ", ".join(
            f"{n} {part} of {run['each'][part]:.2f} s" for part, n in run["calls"].items()
        )
        print(
            f"| {name} | {run['seconds']:.1f} | {run['parts']:.1f} "
            f"| {run['seconds'] / run['parts']:.2f} | {run['peak_gib']:.2f} "
            f"({run['device_gib']:.2f} device) | {apart} | {calls} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
