"""How fast, how large and how exact samgen's SAM is, against the stock `SamPredictor`.

    python benchmarks/sam.py                                     # CPU, ViT-B
    python benchmarks/sam.py --only samgen "samgen bf16"         # what bfloat16 is worth
    python benchmarks/sam.py --architecture vit_h --device cuda  # GPU

Weights are random: speed does not depend on them. Every contender runs in a process of its own,
so that its peak memory is its own, and on the same picture, boxes and weights. What is compared
are ratios of one run. On a machine that others use, CPU seconds are worth more than wall time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SIDE = 512
HALF_PIXEL = 0.5 * SIDE / 1024
"""What samgen takes off a box so that SAM sees its edges where they are."""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--architecture", default="vit_b", choices=["vit_b", "vit_l", "vit_h"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--objects", type=int, default=5, help="organs on the slice")
    parser.add_argument("--prompts", type=int, default=16, help="boxes per organ")
    parser.add_argument("--repeats", type=int, default=2, help="the best of them counts")
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0: as torch likes")
    parser.add_argument(
        "--per-box", type=int, default=2, help="boxes for which the picture is encoded anew"
    )
    parser.add_argument("--bf16", action="store_true", help="bfloat16 on a CPU, too")
    parser.add_argument(
        "--only", nargs="+", choices=sorted(CONTENDERS), help="the first is compared with"
    )
    parser.add_argument("--contender", choices=sorted(CONTENDERS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def make_problem(options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """A picture (512, 512) and boxes (objects, prompts, 4)."""
    rng = np.random.default_rng(0)
    coarse = rng.random((33, 33))
    at = np.linspace(0, 31.99, SIDE)
    low, part = at.astype(int), at % 1
    mixed = coarse[low] * (1 - part)[:, None] + coarse[low + 1] * part[:, None]
    mixed = mixed[:, low] * (1 - part) + mixed[:, low + 1] * part
    corner = rng.uniform(20, 280, (options.objects, 1, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(30, 200, corner.shape)], axis=2)
    jitter = rng.uniform(-5, 5, (options.objects, options.prompts, 4))
    return (mixed * 255).astype(np.uint8), boxes + jitter


def save_weights(options: argparse.Namespace) -> None:
    """Random weights everywhere, also where SAM's initialisation is zero."""
    import torch
    from segment_anything import sam_model_registry

    torch.manual_seed(0)
    sam = sam_model_registry[options.architecture]()
    for name, parameter in sam.named_parameters():
        if "rel_pos" in name or "pos_embed" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    torch.save(sam.state_dict(), options.folder / "weights.pth")


class Contender:
    """Encodes a picture once, and is then asked for all boxes, object by object."""

    bf16 = False

    def work(self, boxes: np.ndarray) -> None:
        for part in boxes:
            self.predict(part)


class Stock(Contender):
    """The package as it is: the picture once, then box by box."""

    def __init__(self, options: argparse.Namespace) -> None:
        from segment_anything import SamPredictor, sam_model_registry

        path = str(options.folder / "weights.pth")
        sam = sam_model_registry[options.architecture](checkpoint=path)
        self.predictor = SamPredictor(sam.to(options.device))
        self.device = options.device

    def encode(self, picture: np.ndarray) -> None:
        with self._precision():
            self.predictor.set_image(np.repeat(picture[..., None], 3, axis=2))
        self.predictor.features[0, 0, 0, 0].item()  # waits for the device

    def predict(self, boxes: np.ndarray) -> np.ndarray:
        with self._precision():
            return np.stack([self._predict_one(box) for box in boxes - HALF_PIXEL])

    def _predict_one(self, box: np.ndarray) -> np.ndarray:
        logits, _, _ = self.predictor.predict(box=box, multimask_output=False, return_logits=True)
        return logits[0]

    def _precision(self) -> contextlib.AbstractContextManager:
        import torch

        kind = self.device.partition(":")[0]
        return torch.autocast(kind, torch.bfloat16, enabled=self.bf16)


class StockBatched(Stock):
    """The package's own batch: all boxes of an object at once."""

    def predict(self, boxes: np.ndarray) -> np.ndarray:
        import torch

        placed = self.predictor.transform.apply_boxes(boxes - HALF_PIXEL, (SIDE, SIDE))
        with self._precision():
            logits, _, _ = self.predictor.predict_torch(
                None,
                None,
                boxes=torch.as_tensor(placed, dtype=torch.float, device=self.device),
                multimask_output=False,
                return_logits=True,
            )
        return logits[:, 0].float().cpu().numpy()


class StockBatchedLower(StockBatched):
    """The batch, with autocast to bfloat16."""

    bf16 = True


class StockLower(StockBatchedLower):
    """Box by box, with autocast to bfloat16, which `SamPredictor.predict` cannot give back."""

    def work(self, boxes: np.ndarray) -> None:
        for box in boxes.reshape(-1, 4):
            self.predict(box[None])


class Ours(Contender):
    """samgen, asked for all masks in full."""

    def __init__(self, options: argparse.Namespace) -> None:
        from samgen.predictors.sam import load_predictor

        path = options.folder / "weights.pth"
        self.predictor = load_predictor(
            f"sam:{path}",
            device=options.device,
            precision="bfloat16" if self.bf16 else "float32",
        )

    def encode(self, picture: np.ndarray) -> None:
        self.encoded = self.predictor.encode(picture)

    def predict(self, boxes: np.ndarray) -> np.ndarray:
        probability = self.predictor.predict(self.encoded, boxes).probability
        with np.errstate(divide="ignore"):
            return np.log(probability.astype(np.float64) / (1 - probability.astype(np.float64)))


class OursLower(Ours):
    """samgen, with pictures encoded in bfloat16."""

    bf16 = True


class OursDrawn(Ours):
    """samgen, as `crowdqc masks` uses it: all objects at once, and of their masks what it keeps."""

    def work(self, boxes: np.ndarray) -> None:
        from samgen.predictor import Prompts
        from samgen.slices import draw_objects

        prompts = [Prompts(box=part[0], boxes=part, sizes=(len(part),)) for part in boxes]
        list(draw_objects(self.predictor, self.encoded, prompts))


CONTENDERS = {
    "stock": Stock,
    "stock batched": StockBatched,
    "stock bf16": StockLower,
    "stock batched bf16": StockBatchedLower,
    "samgen": Ours,
    "samgen bf16": OursLower,
    "samgen drawn": OursDrawn,
}


def contend(options: argparse.Namespace) -> None:
    """Run one contender, and leave its times and logits in the folder."""
    import torch

    if options.threads:
        torch.set_num_threads(options.threads)
    picture, boxes = make_problem(options)
    contender = CONTENDERS[options.contender](options)
    runs = [run_once(contender, picture, boxes) for _ in range(options.repeats)]
    best = min(runs, key=lambda run: run["encode_cpu"] + run["predict_cpu"])
    best["wall"] = min(run["encode"] + run["predict"] for run in runs)
    best["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    if options.device.startswith("cuda"):
        best["device_gb"] = torch.cuda.max_memory_allocated() / 1e9
    best["threads"] = torch.get_num_threads()
    best["device"] = device_name(options.device)
    if options.contender == "stock":
        best |= run_per_box(contender, picture, boxes.reshape(-1, 4)[: options.per_box])
    name = options.contender.replace(" ", "_")
    (options.folder / f"{name}.json").write_text(json.dumps(best))
    logits = [contender.predict(part).astype(np.float32) for part in boxes]
    np.save(options.folder / f"{name}.npy", np.concatenate(logits))


def run_per_box(contender: Stock, picture: np.ndarray, boxes: np.ndarray) -> dict[str, float]:
    """Seconds for each box where the picture is encoded anew for it, as SAM-U's code does."""
    wall, cpu = time.perf_counter(), time.process_time()
    for box in boxes:
        contender.encode(picture)
        contender.predict(box[None])
    return {
        "per_box": (time.perf_counter() - wall) / len(boxes),
        "per_box_cpu": (time.process_time() - cpu) / len(boxes),
    }


def device_name(device: str) -> str:
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def run_once(contender: Contender, picture: np.ndarray, boxes: np.ndarray) -> dict[str, float]:
    times = {}
    for what, work in (
        ("encode", lambda: contender.encode(picture)),
        ("predict", lambda: contender.work(boxes)),
    ):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        times[what] = time.perf_counter() - wall
        times[what + "_cpu"] = time.process_time() - cpu
    return times


def measure_roof(device: str) -> tuple[float, float]:
    """Matrix products in FLOP/s, in float32 and in bfloat16."""
    import torch

    n = 2048 if device == "cpu" else 8192
    rates = []
    for kind in (torch.float32, torch.bfloat16):
        a = torch.randn(n, n, device=device).to(kind)
        times = []
        for _ in range(6):
            start = time.perf_counter()
            b = a @ a
            b[0, 0].item()  # waits for the device
            times.append(time.perf_counter() - start)
        rates.append(2 * n**3 / min(times))
    return rates[0], rates[1]


def count_operations(architecture: str, prompts: int) -> float:
    """FLOP of the stock model for one picture and so many boxes; nothing is computed."""
    import torch
    from segment_anything import sam_model_registry
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), FlopCounterMode(display=False) as encoder:
        sam = sam_model_registry[architecture]()
        embedding = sam.image_encoder(torch.empty(1, 3, 1024, 1024))
    with torch.device("meta"), FlopCounterMode(display=False) as decoder:
        sam.mask_decoder(
            image_embeddings=embedding,
            image_pe=torch.empty(1, 256, 64, 64),
            sparse_prompt_embeddings=torch.empty(1, 2, 256),
            dense_prompt_embeddings=torch.empty(1, 256, 64, 64),
            multimask_output=False,
        )
    return encoder.get_total_flops() + prompts * decoder.get_total_flops()


def compare(folder: Path, name: str, other_name: str) -> str:
    """How far a contender's logits are from those of another, and its masks away from ties."""
    stock = np.load(folder / f"{other_name.replace(' ', '_')}.npy")
    other = np.load(folder / f"{name.replace(' ', '_')}.npy")
    clear = np.abs(stock) > 1e-4
    differ = int(((other > 0) != (stock > 0))[clear].sum())
    return f"{np.abs(other - stock).max():.1e}, {differ} of {clear.sum()} pixels"


def main() -> None:
    options = parse()
    if options.contender:
        contend(options)
        return
    with tempfile.TemporaryDirectory() as folder:
        options.folder = Path(folder)
        save_weights(options)
        on_gpu = options.device != "cpu"
        lower = on_gpu or options.bf16
        names = [name for name in CONTENDERS if lower or not CONTENDERS[name].bf16]
        names = options.only or names
        for name in names:
            command = [sys.executable, __file__, *sys.argv[1:]]
            subprocess.run([*command, "--contender", name, "--folder", folder], check=True)
        report(options, names)


def report(options: argparse.Namespace, names: list[str]) -> None:
    n = options.objects * options.prompts
    folder = options.folder
    runs = {n: json.loads((folder / f"{n.replace(' ', '_')}.json").read_text()) for n in names}
    first, ours = runs[names[0]], runs.get("samgen", runs[names[0]])
    print(f"{options.architecture}, {first['device']}, {first['threads']} threads")
    print(f"one slice {SIDE} x {SIDE}, {options.objects} objects x {options.prompts} boxes\n")
    print(f"| | encode s | predict s | wall s | CPU s | peak GB | against {names[0]} |")
    print("|---|---|---|---|---|---|---|")
    for name, run in runs.items():
        memory = f"{run['peak_gb']:.2f}"
        memory += f" ({run['device_gb']:.2f} device)" if "device_gb" in run else ""
        print(
            f"| {name} | {run['encode']:.2f} | {run['predict']:.2f} | {run['wall']:.2f} "
            f"| {cpu_seconds(run):.2f} | {memory} | {compare(folder, name, names[0])} |"
        )
    print()
    for name, run in runs.items():
        print(f"{name} / samgen: {run['wall'] / ours['wall']:.2f} wall, ", end="")
        print(f"{cpu_seconds(run) / cpu_seconds(ours):.2f} CPU seconds")
    if "stock" in runs:
        report_per_box(options, runs["stock"], ours, n=n)
    report_roof(options, {name: run["wall"] for name, run in runs.items()})


def report_per_box(options: argparse.Namespace, stock: dict, ours: dict, *, n: int) -> None:
    """What it costs to encode the picture for every box."""
    print(f"encoding for every box, as SAM-U's code does, {options.per_box} boxes measured: ")
    print(f"{stock['per_box']:.2f} s wall, {stock['per_box_cpu']:.2f} s CPU a box; {n} boxes / ")
    print(f"samgen: {n * stock['per_box'] / ours['wall']:.0f} wall, ", end="")
    print(f"{n * stock['per_box_cpu'] / cpu_seconds(ours):.0f} CPU")


def cpu_seconds(run: dict[str, float]) -> float:
    return run["encode_cpu"] + run["predict_cpu"]


def report_roof(options: argparse.Namespace, walls: dict[str, float]) -> None:
    """How much of what the device can do in matrix products each contender uses."""
    operations = count_operations(options.architecture, options.objects * options.prompts)
    single, lower = measure_roof(options.device)
    print(f"\nmatrix products: float32 {single / 1e12:.2f}, bfloat16 {lower / 1e12:.2f} TFLOP/s;")
    print(f"the stock model's {operations / 1e12:.2f} TFLOP for a slice:")
    for name, seconds in walls.items():
        rate = operations / seconds
        print(f"{name}: {rate / 1e12:.2f} TFLOP/s, {rate / single:.0%} of float32's, ", end="")
        print(f"{rate / lower:.0%} of bfloat16's; {1 / seconds:.3f} slices/s")


if __name__ == "__main__":
    main()
