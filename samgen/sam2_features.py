"""Features of slices as SAM 2 sees them: made once for all objects, prompts and directions."""

from __future__ import annotations

from collections import OrderedDict
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate
from transformers import Sam2VideoVideoProcessor

from crowdqc.geometry import Boxes
from samgen.cache import Embedding, EmbeddingCache, Signature, hash_pixels
from samgen.predictor import no_points
from samgen.preparation import place_points
from samgen.volume_predictor import Volume

HELD = 48
"""Slices whose features are held in memory, 17 MB each; the others are read or made again."""


class SliceFeatures:
    """Features of the slices of a volume, computed once and kept on disk.

    Parameters
    ----------
    model : transformers.Sam2VideoModel
        On its device.
    volume : Volume
    digest : str
        Hash of the weights that shape the features.
    cache : EmbeddingCache, optional
    bf16 : bool
        Whether products are taken in bfloat16.
    """

    def __init__(
        self,
        model: Any,
        volume: Volume,
        *,
        digest: str,
        cache: EmbeddingCache | None = None,
        bf16: bool = False,
    ) -> None:
        self.volume, self.first = volume, 0
        self._model, self._cache, self._digest = model, cache, digest
        self._side: int = model.image_size
        self._arithmetic = "bfloat16" if bf16 else "float32"
        self._held: OrderedDict[int, list[Tensor]] = OrderedDict()
        size: Any = {"height": self._side, "width": self._side}
        self._prepare = Sam2VideoVideoProcessor(size=size)

    def starting_at(self, first: int) -> SliceFeatures:
        """The same, for a session whose first frame is that slice."""
        self.first = first
        return self

    def get_vision_features(self, frame_idx: int) -> dict[str, list[Tensor]]:
        """What a session asks its cache for."""
        return {
            "vision_feats": self.of(frame_idx + self.first),
            "vision_pos_embeds": self._positions,
        }

    def of(self, k: int) -> list[Tensor]:
        """Features of a slice, three levels of (pixels, 1, channels)."""
        if k not in self._held:
            if len(self._held) >= HELD:
                self._held.popitem(last=False)
            self._held[k] = self._read(k) or self._computed(k)
        self._held.move_to_end(k)
        return self._held[k]

    def maps(self, k: int) -> list[Tensor]:
        """Features of a slice as maps (1, channels, rows, columns), without memories."""
        levels = list(self.of(k))
        levels[-1] = levels[-1] + self._model.no_memory_embedding
        sizes = self._model.backbone_feature_sizes
        return [
            level.permute(1, 2, 0).reshape(1, -1, *size)
            for level, size in zip(levels, sizes, strict=True)
        ]

    def points(
        self, boxes: Boxes, points: NDArray[np.float64] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Boxes (K, 4), each with all points (N, 3), as places (K, 1, 2 + N, 2) and labels."""
        given = no_points() if points is None else points
        both = [np.vstack([box.reshape(2, 2), given[:, :2]]) for box in boxes]
        side = (self._side, self._side)
        placed = place_points(np.array(both)[:, None], picture=self.volume.shape, covered=side)
        device = self._model.device
        kinds = torch.tensor([2, 3, *given[:, 2].astype(int)], dtype=torch.int32, device=device)
        places = torch.as_tensor(placed, dtype=torch.float32, device=device)
        return places, kinds.repeat(len(boxes), 1, 1)

    def enlarged(self, logits: Tensor) -> NDArray[np.float32]:
        """Logits (K, 1, h, w) as probabilities (K, rows, columns) of the picture."""
        found: NDArray[np.float32] = self.sized(logits).sigmoid().cpu().numpy()
        return found

    def sized(self, logits: Tensor) -> Tensor:
        """Logits (K, 1, h, w) at the size of the picture, (K, rows, columns)."""
        size = self.volume.shape
        return interpolate(logits.float(), size, mode="bilinear", align_corners=False)[:, 0]

    @cached_property
    def _positions(self) -> list[Tensor]:
        """Encoding of places on the coarsest level, the same for all slices."""
        size = (1, self._model.hidden_dim, *self._model.backbone_feature_sizes[-1])
        encode = self._model.vision_encoder.neck.position_encoding
        places = encode(size, self._model.device, torch.float32)
        return [places.flatten(2).permute(2, 0, 1)]

    def _computed(self, k: int) -> list[Tensor]:
        colour = np.repeat(self.volume.pictures[k][None, ..., None], 3, axis=3)
        frame = self._prepare(videos=colour, return_tensors="pt").pixel_values_videos[0]
        answer = self._model.get_image_features(frame.to(self._model.device), return_dict=True)
        levels = [level.float() for level in answer.fpn_hidden_states]
        if self._cache is not None:
            for level, (signature, tensor) in enumerate(zip(self._keys(k), levels, strict=True)):
                features = tensor[:, 0].cpu().numpy()[None]
                shape = self.volume.shape
                self._cache.write(
                    signature,
                    Embedding(
                        features=features, picture_size=shape, input_size=(self._side, level)
                    ),
                )
        return levels

    def _read(self, k: int) -> list[Tensor] | None:
        """Features of a slice from the disk, where all are there."""
        if self._cache is None:
            return None
        kept = [self._cache.read(signature) for signature in self._keys(k)]
        device = self._model.device
        levels = [torch.as_tensor(one.features[0][:, None], device=device) for one in kept if one]
        return levels if len(levels) == len(kept) else None

    def _keys(self, k: int) -> list[Signature]:
        pixels = hash_pixels(self.volume.pictures[k])
        return [
            Signature(
                pixels=pixels,
                preprocessing=f"sam2 {self._side} level {level}",
                checkpoint=self._digest,
                arithmetic=f"transformers {self._model.device.type} {self._arithmetic}",
            )
            for level in range(self._model.num_feature_levels)
        ]
