"""SAM 2.1 and MedSAM2 as a `samgen.volume_predictor.VolumePredictor`.

The slices of an object are the frames of a video, from its first to its last. Every slice with a
box is a prompted frame; its mask is drawn from its own prompts, as SAM would. Beside that every
slice gets a second mask, which its neighbours predict: the model carries the object to it from the
memory of the nearest prompted slices, forwards and backwards, as if it had no box of its own. The
Dice of the two is `propagation_dice`: a box that is wrong, but sits well on what it shows,
disagrees with its neighbours. Where nobody drew the object, the second mask is the mask.

Features of a slice are computed once for all objects, prompts and directions, and kept on disk.

References
----------
.. [1] N. Ravi et al., "SAM 2: segment anything in images and videos", 2024. :arxiv:`2408.00714`
.. [2] J. Ma et al., "MedSAM2: segment anything in 3D medical images and videos", 2025.
   :arxiv:`2504.03600`
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate
from transformers import Sam2VideoInferenceSession, Sam2VideoModel, Sam2VideoVideoProcessor

from crowdqc.findings import InputError
from crowdqc.geometry import Boxes
from samgen.cache import Embedding, EmbeddingCache, Signature, hash_pixels
from samgen.devices import choose_bf16, choose_device, lower_precision
from samgen.predictor import SUPPORT, ModelRequest, Prompts, no_points
from samgen.preparation import place_points
from samgen.regions import region_of
from samgen.sam2_state import load_model
from samgen.volume_predictor import (
    Drawn,
    ObjectPrompts,
    Volume,
    VolumePrediction,
    VolumePredictor,
    on_slice,
)
from samgen.weights import find_weights, load_changed

VERSION = 2
"""Version of the masks: raised when the same input gives others."""
MEMORY = 4
"""Prompted slices that are remembered at a time, the nearest: as many as in training."""
HELD = 48
"""Slices whose features are held in memory, 17 MB each; the others are read or made again."""
CHUNK = 4
"""Prompts that are decoded together."""
SIDES = {"medsam2": 512}
"""Side of the pictures in px of models that are not shown 1024."""

SHAPING = ("vision_encoder.", "mask_decoder.conv_s")
"""Beginnings of the names of tensors that the features of a slice depend on."""

Planes = tuple[int, NDArray[np.float32], dict[str, float]]
"""A plane, the drawings on it (K, rows, columns), and further measures."""


class Sam2Predictor(VolumePredictor):
    """SAM 2.1 or MedSAM2 on grey volumes.

    Parameters
    ----------
    model : transformers.Sam2VideoModel
        The model, on its device.
    name : str
        What tables call it.
    digest : str
        Hash of the weights.
    encoder : str, optional
        Hash of the weights whose image encoder it has; by default `digest`.
    cache : Path, optional
        Folder where features of slices are kept.
    memory : int
        Prompted slices that are remembered at a time, the nearest.
    bf16 : bool
        Whether products are taken in bfloat16.
    """

    keeps_encoded = True

    def __init__(
        self,
        model: Sam2VideoModel,
        *,
        name: str,
        digest: str,
        encoder: str | None = None,
        cache: Path | None = None,
        memory: int = MEMORY,
        bf16: bool = False,
    ) -> None:
        self.model, self.bf16 = model, bf16
        self.model.config.max_cond_frame_num = self._memory = memory
        self._name, self._digest, self.encoder = name, digest, encoder or digest
        self.takes_points = True  # MedSAM2 was trained with boxes alone
        self.learned: frozenset[str] = frozenset()
        self._cache = None if cache is None else EmbeddingCache(cache)

    @classmethod
    def open(cls, request: ModelRequest) -> Sam2Predictor:
        """The model of a published checkpoint, of ``sam2:PATH``, or of ``medsam2:PATH``.

        Raises
        ------
        InputError
            If the weights are not there, are not what they should be, or do not fit.
        """
        device = choose_device(request.device)
        bf16 = choose_bf16(request.precision, device)
        weights = find_weights(request.model)
        model = load_model(weights.path, side=request.picture_px or SIDES.get(weights.family, 1024))
        if request.picture_px not in {None, model.image_size}:
            raise InputError(
                f"[masks] picture_px: the model of {weights.path} is shown pictures of "
                f"{model.image_size} px, as its config.json says; leave the key out."
            )
        name = request.model if request.weights is None else weights.path.stem
        digest, encoder, adapted = weights.digest, weights.digest, request.adapted
        changed: dict[str, Tensor] = {}
        if adapted is not None:
            adapted.refuse_other_base(digest)
            changed = load_changed(adapted.path, model.state_dict())
            model.load_state_dict(changed, strict=False)
            name, digest = adapted.path.stem, adapted.digest
            encoder = digest if any(map(shapes_features, changed)) else encoder
        opened = cls(
            model.to(device),
            name=name,
            digest=digest,
            encoder=encoder,
            cache=request.cache,
            memory=request.memory_slices or MEMORY,
            bf16=bf16,
        )
        opened.learned = frozenset(changed)
        opened.takes_points = weights.family == "sam2"
        return opened

    @property
    def name(self) -> str:
        """Name of the model."""
        return self._name

    @property
    def signature(self) -> str:
        """Text that changes whenever masks may."""
        side = self.model.image_size
        kind = f"{self._device.type}{' bfloat16' if self.bf16 else ''}"
        return f"sam2 {self._digest} {side} {kind} memory {self._memory} version {VERSION}"

    @property
    def digest(self) -> str:
        """Hash of the weights."""
        return self._digest

    @property
    def _device(self) -> torch.device:
        return self.model.device

    def device_bytes(self) -> int:
        """Most memory that torch took on the GPU so far; 0 on a CPU."""
        cuda = self._device.type == "cuda"
        return torch.cuda.max_memory_allocated(self._device) if cuda else 0

    def predict(self, volume: Volume, prompts: ObjectPrompts) -> VolumePrediction:
        """Mean masks of an object on its slices and in its gaps."""
        found = list(self._planes(_Features(self, volume), prompts))
        return VolumePrediction(
            slices=tuple(k for k, _, _ in found),
            region=(slice(0, volume.shape[0]), slice(0, volume.shape[1])),
            probability=np.stack([planes.mean(axis=0) for _, planes, _ in found])[None],
            measures={
                "propagation_dice": np.array(
                    [more.get("propagation_dice", np.nan) for _, _, more in found]
                )
            },
        )

    def draw(
        self, volume: Volume, objects: Sequence[ObjectPrompts], done: Callable[[int], None]
    ) -> Iterator[Drawn]:
        """As `VolumePredictor.draw`; features of slices are computed once for all objects."""
        features = _Features(self, volume)
        last = {k: index for index, one in enumerate(objects) for k in one.slices}
        for index, one in enumerate(objects):
            own = dict(zip(one.slices, one.prompts, strict=True))
            drawn = {}
            for k, planes, more in self._planes(features, one):
                region = region_of(planes.max(axis=0) > SUPPORT)
                if region is None:
                    if k not in own:
                        continue
                    region = own[k].region()
                sizes = own[k].sizes if k in own and sum(own[k].sizes) == len(planes) else None
                drawn[k] = on_slice(planes[:, *region], region, own.get(k), sizes=sizes, more=more)
            yield drawn
            for k in one.slices:
                if last[k] == index:
                    done(k)

    def _planes(self, features: _Features, one: ObjectPrompts) -> Iterator[Planes]:
        """The masks of an object, slice by slice."""
        own = dict(zip(one.slices, one.prompts, strict=True))
        if not self.takes_points:
            own = {k: replace(asked, points=no_points()) for k, asked in own.items()}
        made_up = dict(zip(one.slices, one.interpolated.tolist(), strict=True))
        prompted = [k for k in own if not made_up[k]] or list(own)
        wanted = sorted([*own, *one.gaps])
        with torch.inference_mode(), lower_precision(self._device, self.bf16):
            session = self._session(features, one.slices[0], wanted[-1] - wanted[0] + 1)
            first = {k: self._remember(session, features, k=k, asked=own[k]) for k in prompted}
            carried = self._carried(session, features, wanted)
            for k in wanted:
                second = carried[k]
                if k not in prompted:
                    yield k, features.enlarged(torch.cat(second)), {}
                    continue
                known = first[k] if np.array_equal(own[k].box, own[k].boxes[0]) else None
                planes = features.enlarged(self._from_prompts(features, k, own[k], known=known))
                dice = _dice(planes, features.enlarged(torch.cat(second))) if second else np.nan
                yield k, planes, {"propagation_dice": dice}

    def _session(self, features: _Features, first: int, n: int) -> Any:
        """A video of n frames from a slice on, with one object and no prompts."""
        rows, columns = features.volume.shape
        session: Any = Sam2VideoInferenceSession(
            video_height=rows,
            video_width=columns,
            inference_device=self._device,
            inference_state_device=self._device,
            dtype=torch.float32,
        )
        session.processed_frames = range(n)  # only counted: features come from the cache
        session.cache = features.starting_at(first)
        session.obj_id_to_idx(1)
        return session

    def _remember(self, session: Any, features: _Features, *, k: int, asked: Prompts) -> Tensor:
        """Prompt a slice with the object's box and points; its logits (1, 1, h, w)."""
        frame, points = k - features.first, features.points(asked.box[None], asked.points)
        session.add_point_inputs(0, frame, {"point_coords": points[0], "point_labels": points[1]})
        session.obj_with_new_inputs = [1]
        answer: Tensor = self.model(session, frame_idx=frame).pred_masks
        return answer

    def _carried(
        self, session: Any, features: _Features, wanted: Sequence[int]
    ) -> dict[int, list[Tensor]]:
        """Logits that the prompted neighbours of each slice predict, forwards and backwards."""
        outputs = session.output_dict_per_obj[0]
        found: dict[int, list[Tensor]] = {k: [] for k in wanted}
        for reverse in (False, True):
            outputs["non_cond_frame_outputs"].clear()
            session.frames_tracked_per_obj[0].clear()
            for k in reversed(wanted) if reverse else wanted:
                frame = k - features.first
                held = outputs["cond_frame_outputs"].pop(frame, None)
                if outputs["cond_frame_outputs"]:
                    answer = self.model(
                        session, frame_idx=frame, reverse=reverse, run_mem_encoder=held is None
                    )
                    found[k].append(answer.pred_masks)
                if held is not None:
                    outputs["non_cond_frame_outputs"].pop(frame, None)
                    together = {**outputs["cond_frame_outputs"], frame: held}
                    outputs["cond_frame_outputs"] = dict(sorted(together.items()))
        return found

    def _from_prompts(
        self, features: _Features, k: int, asked: Prompts, *, known: Tensor | None = None
    ) -> Tensor:
        """Logits (K, 1, h, w) of boxes on a slice, each from the slice and all points.

        `known` are those of the first box, where they are known.
        """
        maps, boxes = features.maps(k), asked.boxes
        parts = [] if known is None else [known]
        for start in range(len(parts), len(boxes), CHUNK):
            points, labels = features.points(boxes[start : start + CHUNK], asked.points)
            answer: Any = self.model._single_frame_forward(  # noqa: SLF001 - what its `forward` calls
                input_points=points,
                input_labels=labels,
                image_embeddings=[level.expand(len(points), -1, -1, -1) for level in maps],
                multimask_output=False,
            )
            parts.append(answer.pred_masks)
        return torch.cat(parts)


def shapes_features(name: str) -> bool:
    """Whether the features of slices depend on a tensor of this name."""
    return name.startswith(SHAPING)


class _Features:
    """Features of the slices of a volume, as the model's sessions ask for them."""

    def __init__(self, predictor: Sam2Predictor, volume: Volume) -> None:
        self.volume, self.first = volume, 0
        self._model: Any = predictor.model
        self._side: int = self._model.image_size  # type: ignore[assignment]
        self._cache, self._digest = predictor._cache, predictor.encoder  # noqa: SLF001
        self._arithmetic = "bfloat16" if predictor.bf16 else "float32"
        self._held: OrderedDict[int, list[Tensor]] = OrderedDict()
        size: Any = {"height": self._side, "width": self._side}
        self._prepare = Sam2VideoVideoProcessor(size=size)

    def starting_at(self, first: int) -> _Features:
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


def _dice(own: NDArray[np.float32], carried: NDArray[np.float32]) -> float:
    """Dice of the masks of two sets of drawings; nan where both are empty."""
    one, other = own.mean(axis=0) > 0.5, carried.mean(axis=0) > 0.5
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else float("nan")
