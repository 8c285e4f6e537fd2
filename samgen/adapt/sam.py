"""SAM and MedSAM as models that can be trained: their decoder, or late blocks of their encoder.

The decoder alone learns on embeddings that are computed once. With LoRA [1]_ the attention of the
later half of the encoder's blocks learns, too: matrices of low rank are added to the projections of
query, key and value, and what comes before those blocks is computed once.

References
----------
.. [1] E. J. Hu et al., "LoRA: low-rank adaptation of large language models", ICLR 2022.
   :arxiv:`2106.09685`
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crowdqc.geometry import Boxes
from samgen.adapt.lora import add_adapters, merged
from samgen.adapt.tensors import Answer, State
from samgen.cache import Embedding, hash_pixels
from samgen.decoder import decode_with_gradients
from samgen.encoder import encode_early, encode_late
from samgen.predictor import BoxPredictor
from samgen.predictors.sam import ENCODER, GRID, SamBoxPredictor
from samgen.preparation import place_boxes
from samgen.square import Stretched, square_pixels
from samgen.volume_predictor import Volume

DECODER = "mask_decoder."


class SamDrawer:
    """The decoder of SAM or MedSAM, which can be trained.

    Parameters
    ----------
    model : SamBoxPredictor
        Is changed.
    """

    def __init__(self, model: SamBoxPredictor) -> None:
        self.model = model
        self._held: dict[tuple[int, int], Embedding] = {}
        self._before = {name: one.clone() for name, one in self._trained().items()}
        model.sam.mask_decoder.requires_grad_(requires_grad=True)

    def _trained(self) -> State:
        state = self.model.sam.state_dict()
        names = self.model.learned
        return {n: one for n, one in state.items() if n.startswith(DECODER) or n in names}

    def parameters(self) -> list[Tensor]:
        """The decoder's tensors."""
        return list(self.model.sam.mask_decoder.parameters())

    def changed(self) -> State:
        """Copies of those that differ from the published ones."""
        return {
            name: one.detach().clone()
            for name, one in self._trained().items()
            if name in self.model.learned or not torch.equal(one, self._before[name])
        }

    def draw(self, volume: Volume, k: int, boxes: Boxes) -> Answer:
        """Masks of boxes, with gradients."""
        embedding = self._embedding(volume, k)
        covered = embedding.input_size
        placed = place_boxes(boxes, picture=volume.shape, covered=covered)
        device = self.model.sam.device
        features, corners = (
            torch.as_tensor(array, dtype=torch.float32, device=device)
            for array in (embedding.features, placed)
        )
        logits, ious = decode_with_gradients(self.model.sam, features, corners)
        rows, columns = (max(1, round(n / GRID)) for n in covered)
        return Answer(logits, None if self.model.family == "medsam" else ious, (rows, columns))

    def _embedding(self, volume: Volume, k: int) -> Embedding:
        """Embedding of a slice; held in memory where the model has no cache."""
        if self.model.cache is not None:
            return _encoded(self.model, volume, k)
        key = id(volume), k
        if key not in self._held:
            self._held[key] = _encoded(self.model, volume, k)
        return self._held[key]


def _encoded(model: BoxPredictor, volume: Volume, k: int) -> Embedding:
    """Embedding of a slice as it is shown to the model, with square pixels."""
    _, height, width = volume.spacing_mm
    shown = square_pixels(model, width_mm=width, height_mm=height)
    found = shown.encode(volume.pictures[k])
    inner: Embedding = found.encoded if isinstance(found, Stretched) else found
    return inner


class LoraDrawer(SamDrawer):
    """The decoder, and matrices of low rank in the later half of the encoder's blocks.

    Parameters
    ----------
    model : SamBoxPredictor
        Its modules are changed.
    rank : int
    seed : int
        For what the matrices begin with.
    """

    model: _LateSam

    def __init__(self, model: SamBoxPredictor, *, rank: int, seed: int) -> None:
        blocks = model.sam.image_encoder.blocks
        since = len(blocks) // 2
        super().__init__(_LateSam(model, since))
        late = [f"blocks.{n}.attn.qkv" for n in range(since, len(blocks))]
        self._adapters = add_adapters(model.sam.image_encoder, late, rank=rank, seed=seed)

    def parameters(self) -> list[Tensor]:
        """The decoder's tensors and the matrices."""
        return [*super().parameters(), *self._adapters]

    def changed(self) -> State:
        """Copies of the tensors that differ, with the matrices added to what they are for."""
        found = merged(self.model.sam.image_encoder)
        return super().changed() | {f"{ENCODER}{name}": one for name, one in found.items()}

    def _embedding(self, volume: Volume, k: int) -> Embedding:
        self.model.learns = True
        try:
            return _encoded(self.model, volume, k)
        finally:
            self.model.learns = False


class _LateSam(SamBoxPredictor):
    """A SAM whose early blocks are computed once for each picture."""

    learns = False
    """Whether embeddings are tensors with gradients."""

    def __init__(self, model: SamBoxPredictor, since: int) -> None:
        vars(self).update(vars(model))
        self._since = since
        self._early: dict[str, Embedding] = {}

    def encode(self, picture: NDArray[np.uint8]) -> Embedding:
        early = self._before_late(picture)
        tokens = self._tensor(early.features)[None]
        with torch.set_grad_enabled(self.learns):
            found = encode_late(self.sam.image_encoder, tokens, since=self._since)[0]
        features: Any = found if self.learns else found.cpu().numpy()
        return replace(early, features=features)

    def _before_late(self, picture: NDArray[np.uint8]) -> Embedding:
        if self.cache is not None:
            name = f"{self._preprocessing} before block {self._since}"
            return self._kept(picture, name, self._tokens)
        key = hash_pixels(picture)
        if key not in self._early:
            self._early[key] = self._tokens(picture)
        return self._early[key]

    def _tokens(self, picture: NDArray[np.uint8]) -> Embedding:
        encoder = self.sam.image_encoder
        pixels, covered = self.prepared(picture)
        with torch.no_grad():
            found = encode_early(encoder, pixels, until=self._since, attention="augmented")
        rows, columns = picture.shape
        return Embedding(
            features=found[0].cpu().numpy(), picture_size=(rows, columns), input_size=covered
        )
