"""Models of tensors learn: the loop that SAM, MedSAM and SAM 2 share.

Boxes are the tight ones of the true objects, moved anew in each epoch as far as raters stray, or
by the noise of the model's own training where that was not measured. The loss of a mask is the sum
of cross entropy and of 1 - Dice [1]_, on the decoder's grid; the predicted IoU, where the model has
a trained one, learns what it is.

References
----------
.. [1] J. Ma et al., "Segment anything in medical images", Nature Communications 15, 2024.
   :doi:`10.1038/s41467-024-44824-z`
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from crowdqc.geometry import Boxes
from crowdqc.writing import atomic
from samgen.adapt.examples import Example, pictures_of
from samgen.adapt.gold import Spread, TrueObject
from samgen.adapt.training import Training
from samgen.cards import TENSORS
from samgen.prompts import make_prompts, prompt_rng
from samgen.settings import PromptSettings
from samgen.volume_predictor import Volume

ONE = PromptSettings(n_prompts=2, prompt_boxes="fused")
"""Of two prompts the first is the box itself and the second has moved."""
TOGETHER = 8
"""Objects of a step, and most boxes of a slice that are drawn at once."""
DECAY = 0.01

State = dict[str, Tensor]


class Answer(NamedTuple):
    """Masks of boxes on a slice."""

    logits: Tensor
    """On the decoder's grid, (K, h, w)."""
    predicted_iou: Tensor | None
    """(K,); None where that head was never trained."""
    covered: tuple[int, int]
    """Rows and columns of the grid that the picture takes up."""


class Drawer(Protocol):
    """A model of tensors that can be trained.

    Its `model` draws masks with the tensors as they are.
    """

    model: Any

    def parameters(self) -> list[Tensor]:
        """What is trained."""
        ...

    def draw(self, volume: Volume, k: int, boxes: Boxes) -> Answer:
        """Masks of boxes on a slice of a volume, with gradients."""
        ...

    def changed(self) -> State:
        """Copies of the tensors that differ from those of the published model."""
        ...


class TensorLearner:
    """Trains a drawer; a step is an epoch.

    Parameters
    ----------
    drawer : Drawer
    examples : sequence of Example
        The cases that it learns from.
    spread : Spread
    rate : float
        Learning rate of AdamW.
    seed : int
    """

    ending = TENSORS

    def __init__(
        self, drawer: Drawer, examples: Sequence[Example], *, spread: Spread, rate: float, seed: int
    ) -> None:
        self._drawer, self._examples, self._spread, self._seed = drawer, examples, spread, seed
        self._optimiser = torch.optim.AdamW(drawer.parameters(), lr=rate, weight_decay=DECAY)
        self._slices = [
            (example, k, objects[start : start + TOGETHER])
            for example in examples
            for k, objects in pictures_of(example.objects)
            for start in range(0, len(objects), TOGETHER)
        ]
        self._epoch = 0

    @property
    def model(self) -> Any:
        """The model as it is now."""
        return self._drawer.model

    def step(self) -> bool:
        """Train for an epoch; there is always another."""
        self._epoch += 1
        for batch in self._batches():
            self._optimiser.zero_grad()
            n = sum(len(objects) for _, _, objects in batch)
            for example, k, objects in batch:
                loss = self._loss(example, k, objects) / n
                loss.backward()
            self._optimiser.step()
        return True

    def snapshot(self) -> State:
        """Copies of what was changed."""
        return self._drawer.changed()

    @staticmethod
    def write(snapshot: State, path: Path) -> None:
        """Write a snapshot as safetensors."""
        _write(snapshot, path)

    def save(self, training: Training, path: Path) -> None:
        """Write the scores, the best snapshot, and the tensors with what the optimiser knows."""
        found = {f"kept {name}": one for name, one in training.kept.items()}
        found |= {f"now {n}": one for n, one in enumerate(self._drawer.parameters())}
        for n, state in self._optimiser.state_dict()["state"].items():
            found |= {f"{name} {n}": one for name, one in state.items()}
        _write(found, path, scores=json.dumps(training.scores), epoch=str(self._epoch))

    def restore(self, path: Path) -> Training:
        """Be as after the epoch when the file was written."""
        with safe_open(path, framework="pt") as file:
            told, found = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        sorts: dict[str, State] = defaultdict(dict)
        for name, one in found.items():
            sort, _, which = name.partition(" ")
            sorts[sort][which] = one
        kept, now = sorts.pop("kept", {}), sorts.pop("now")
        with torch.no_grad():
            for n, parameter in enumerate(self._drawer.parameters()):
                parameter.copy_(now[str(n)])
        state: dict[int, State] = defaultdict(dict)
        for sort, ones in sorts.items():
            for which, one in ones.items():
                state[int(which)][sort] = one
        groups = self._optimiser.state_dict()["param_groups"]
        self._optimiser.load_state_dict({"state": dict(state), "param_groups": groups})
        self._epoch = int(told["epoch"])
        return Training(json.loads(told["scores"]), kept)

    def _batches(self) -> Iterator[list[tuple[Example, int, list[TrueObject]]]]:
        order = np.random.default_rng([self._seed, self._epoch]).permutation(len(self._slices))
        batch: list[tuple[Example, int, list[TrueObject]]] = []
        for place in order:
            batch.append(self._slices[place])
            if sum(len(objects) for _, _, objects in batch) >= TOGETHER:
                yield batch
                batch = []
        if batch:
            yield batch

    def _loss(self, example: Example, k: int, objects: Sequence[TrueObject]) -> Tensor:
        boxes = np.array([self._box(example.case.name, one) for one in objects])
        answer = self._drawer.draw(example.volume, k, boxes)
        rows, columns = answer.covered
        logits = answer.logits[:, :rows, :columns]
        true = np.stack([one.mask for one in objects])
        target = functional.adaptive_avg_pool2d(
            torch.as_tensor(true, dtype=torch.float32, device=logits.device), (rows, columns)
        )
        return mask_loss(logits, target, answer.predicted_iou)

    def _box(self, case: str, one: TrueObject) -> NDArray[np.float64]:
        label = f"{one.label}#adapt {self._epoch} {one.box.tolist()}"
        return make_prompts(
            one.box,
            spread=self._spread.px(one.label, one.box),
            shape=one.shape,
            rng=prompt_rng(self._seed, case=case, slice=one.slice, label=label),
            settings=ONE,
            noise=self.model.noise,
        ).boxes[1]


def _write(tensors: State, path: Path, **told: str) -> None:
    """Write tensors as safetensors."""
    with atomic(path) as temporary:
        save_file(
            {name: one.detach().contiguous().cpu() for name, one in tensors.items()},
            temporary,
            metadata=told or None,
        )


def mask_loss(logits: Tensor, target: Tensor, predicted_iou: Tensor | None) -> Tensor:
    """Loss of masks, summed over them.

    Parameters
    ----------
    logits, target : Tensor, shape (K, rows, columns)
        What was drawn, and the share of each cell that the object takes up.
    predicted_iou : Tensor, shape (K,), optional
        The model's own guess of its IoU, which learns by squared error.

    Returns
    -------
    Tensor, shape ()
    """
    soft = logits.sigmoid()
    shared, total = (soft * target).sum((1, 2)), soft.sum((1, 2)) + target.sum((1, 2))
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    loss = entropy.mean((1, 2)) + 1 - 2 * shared / total
    if predicted_iou is not None:
        found, true = logits.detach() > 0, target > 0.5
        both = (found & true).sum((1, 2)) / (found | true).sum((1, 2)).clamp(min=1)
        loss = loss + (predicted_iou - both).square()
    return loss.sum()
