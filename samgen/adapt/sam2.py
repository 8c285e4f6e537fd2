"""SAM 2 and MedSAM2 as models that can be trained, on slices by themselves.

What carries an object from slice to slice (memory attention and memory encoder) stays as it is, so
that the mask in a gap and `propagation_dice` gain from the decoder only.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from crowdqc.geometry import Boxes
from samgen.adapt.lora import add_adapters, merged
from samgen.adapt.tensors import Answer, State
from samgen.predictors.sam2 import Sam2Predictor
from samgen.sam2_features import SliceFeatures
from samgen.volume_predictor import Volume

DECODER = "mask_decoder."
HIGH_RESOLUTION = "mask_decoder.conv_s"
"""Part of the decoder that is applied to the features once for all prompts."""
ENCODER = "vision_encoder."


class Sam2Drawer:
    """The mask decoder of SAM 2, which can be trained.

    Parameters
    ----------
    model : Sam2Predictor
        Is changed.
    """

    def __init__(self, model: Sam2Predictor) -> None:
        self.model = model
        self._features: dict[int, SliceFeatures] = {}
        self._before = {name: one.clone() for name, one in self._trained().items()}
        for one in self.parameters():
            one.requires_grad_(requires_grad=True)

    def _trained(self) -> State:
        return {
            name: one
            for name, one in self.model.model.named_parameters()
            if name.startswith(DECODER) and not name.startswith(HIGH_RESOLUTION)
        }

    def _earlier(self) -> State:
        """Tensors that the file of an adapted model holds, which stay in it."""
        state = self.model.model.state_dict()
        return {name: one for name, one in state.items() if name in self.model.learned}

    def parameters(self) -> list[Tensor]:
        """The decoder's tensors."""
        return list(self._trained().values())

    def changed(self) -> State:
        """Copies of those that differ from the published ones."""
        trained = self._trained().items()
        found = {n: one for n, one in trained if not torch.equal(one, self._before[n])}
        return {n: one.detach().clone() for n, one in (self._earlier() | found).items()}

    def draw(self, volume: Volume, k: int, boxes: Boxes) -> Answer:
        """Masks of boxes, with gradients."""
        features = self._features.setdefault(id(volume), self.model.features(volume))
        points, labels = features.points(boxes)
        maps = self._maps(features, k)
        answer: Any = self.model.model._single_frame_forward(  # noqa: SLF001 - as for masks
            input_points=points,
            input_labels=labels,
            image_embeddings=[level.expand(len(points), -1, -1, -1) for level in maps],
            multimask_output=False,
        )
        rows, columns = answer.pred_masks.shape[-2:]
        return Answer(answer.pred_masks[:, 0], answer.iou_scores.reshape(-1), (rows, columns))

    def _maps(self, features: SliceFeatures, k: int) -> list[Tensor]:
        with torch.no_grad():
            return features.maps(k)


class Sam2LoraDrawer(Sam2Drawer):
    """The decoder, and matrices of low rank in the later half of the encoder's blocks.

    Parameters
    ----------
    model : Sam2Predictor
        Is changed; its cache is not used, as features change.
    rank : int
    seed : int
        For what the matrices begin with.
    """

    def __init__(self, model: Sam2Predictor, *, rank: int, seed: int) -> None:
        super().__init__(model)
        model._cache = None  # noqa: SLF001
        encoder: Any = model.model.vision_encoder
        n = len(encoder.backbone.blocks)
        late = [f"backbone.blocks.{k}.attn.qkv" for k in range(n // 2, n)]
        self._adapters = add_adapters(encoder, late, rank=rank, seed=seed)

    def parameters(self) -> list[Tensor]:
        """The decoder's tensors and the matrices."""
        return [*super().parameters(), *getattr(self, "_adapters", [])]

    def changed(self) -> State:
        """Copies of the tensors that differ, with the matrices added to what they are for."""
        found = merged(self.model.model.vision_encoder)
        return super().changed() | {f"{ENCODER}{name}": one for name, one in found.items()}

    def _maps(self, features: SliceFeatures, k: int) -> list[Tensor]:
        features._held.clear()  # noqa: SLF001 - they have changed since
        return features.maps(k)
