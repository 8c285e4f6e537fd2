"""A small 2D U-Net for benchmarks: minutes of one CPU core where nnU-Net takes hours.

Three resolutions, one convolution at each, 8 features in the first: what differs between two
trainings is what they were trained on. It says nothing of how good a large network would be.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

UNKNOWN = -1
"""Label of pixels that teach nothing."""
STARTS = 3
"""How often a network is begun that does not learn one of its labels."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """How long and how a network is trained; the same for all that are compared."""

    classes: int
    steps: int = 200
    batch: int = 16
    rate: float = 5e-3
    features: int = 8
    turns: bool = False
    """Whether pictures are turned and mirrored: for objects that have no up and down."""
    robust: float = 0.0
    """q of the generalised cross entropy (Zhang & Sabuncu 2018); 0 is the cross entropy."""


class SmallUNet(nn.Module):
    """From (N, 1, R, C) grey values to (N, classes, R, C) logits; R and C multiples of 4."""

    def __init__(self, classes: int, features: int) -> None:
        super().__init__()
        widths = [features, 2 * features, 4 * features]
        self.down = nn.ModuleList(map(_block, [1, *widths[:-1]], widths))
        self.up = nn.ModuleList(_block(a + b, a) for a, b in itertools.pairwise(widths))
        self.last = nn.Conv2d(features, classes, 1)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Logits of each pixel."""
        kept = []
        for level, block in enumerate(self.down):
            pictures = block(functional.max_pool2d(pictures, 2) if level else pictures)
            kept.append(pictures)
        for level in reversed(range(len(self.up))):
            larger = functional.interpolate(pictures, scale_factor=2, mode="nearest")
            pictures = self.up[level](torch.cat([kept[level], larger], dim=1))
        return self.last(pictures)


def _block(before: int, after: int) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True))


def train(
    pictures: np.ndarray, labels: np.ndarray, settings: Training, *, seed: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Train on pictures (N, R, C) and labels (N, R, C), of which `UNKNOWN` teaches nothing.

    Returns what gives probabilities (M, classes, R, C) of other pictures (M, R, C). The same data,
    settings and seed give the same network on one machine. A network that has not learned one of
    its labels, by what it was trained on, is begun again from other weights.
    """
    torch.set_num_threads(1)
    for start in range(STARTS):
        predict = _predictor(_fit(pictures, labels, settings, seed=seed + 1000 * start))
        if _learned(predict(pictures[::5]).argmax(axis=1), labels[::5], settings.classes):
            break
    return predict


def _learned(found: np.ndarray, labels: np.ndarray, classes: int) -> bool:
    """Whether each label is found on a fifth as many pixels as it has, or more."""
    counts = (np.bincount(it[labels != UNKNOWN], minlength=classes) for it in (found, labels))
    mine, true = counts
    return bool((mine >= 0.2 * true).all())


def _fit(pictures: np.ndarray, labels: np.ndarray, settings: Training, *, seed: int) -> SmallUNet:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = SmallUNet(settings.classes, settings.features).to(memory_format=torch.channels_last)
    adam = torch.optim.AdamW(net.parameters(), lr=settings.rate)
    plan = torch.optim.lr_scheduler.OneCycleLR(adam, settings.rate, total_steps=settings.steps)
    x = torch.from_numpy(pictures.astype(np.float32))[:, None]
    y = torch.from_numpy(labels.astype(np.int64))
    for _ in range(settings.steps):
        chosen = torch.from_numpy(rng.integers(0, len(x), settings.batch))
        batch, target = _moved(x[chosen], y[chosen], rng, turns=settings.turns)
        adam.zero_grad()
        _loss(net(batch), target, settings.robust).backward()
        adam.step()
        plan.step()
    return net.eval()


def _moved(x: torch.Tensor, y: torch.Tensor, rng: np.random.Generator, *, turns: bool):
    """The batch shifted by up to 3 px, and turned and mirrored where that is asked for."""
    down, right = (int(k) for k in rng.integers(-3, 4, 2))
    x, y = x.roll((down, right), (2, 3)), y.roll((down, right), (1, 2))
    if turns:
        quarter = int(rng.integers(4)) if x.shape[2] == x.shape[3] else 2 * int(rng.integers(2))
        x, y = x.rot90(quarter, (2, 3)), y.rot90(quarter, (1, 2))
        if rng.random() < 0.5:
            x, y = x.flip(3), y.flip(2)
    return x.contiguous(memory_format=torch.channels_last), y


def _loss(logits: torch.Tensor, target: torch.Tensor, robust: float) -> torch.Tensor:
    """Cross entropy, or the generalised one, plus one less the soft Dice of the objects."""
    known = (target != UNKNOWN)[:, None]
    probability = logits.softmax(dim=1)
    right = probability.gather(1, target.clamp(min=0)[:, None])[known].clamp(min=1e-6)
    entropy = (1 - right**robust) / robust if robust else -right.log()
    true = functional.one_hot(target.clamp(min=0), logits.shape[1]).movedim(-1, 1) * known
    both, total = (
        (part * known)[:, 1:].sum((0, 2, 3)) for part in (probability * true, probability + true)
    )
    return entropy.mean() + 1 - ((2 * both + 1) / (total + 1)).mean()


def _predictor(net: SmallUNet) -> Callable[[np.ndarray], np.ndarray]:
    def predict(pictures: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(pictures.astype(np.float32))[:, None]
        with torch.inference_mode():
            parts = [net(part).softmax(dim=1) for part in x.split(64)]
        return torch.cat(parts).numpy()

    return predict
