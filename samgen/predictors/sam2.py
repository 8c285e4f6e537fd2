"""SAM 2.1 and MedSAM2 as a `samgen.volume_predictor.VolumePredictor`.

The slices of an object are the frames of a video, from its first to its last. Every slice with a
box is a prompted frame; its mask is drawn from its own prompts, as SAM would. Beside that it gets
a second mask, which its neighbours predict: from the memory of the nearest prompted slices on both
sides, in one pass, and of nothing that its own box had a part in. The Dice of the two is
`propagation_dice`: a box that is wrong, but sits well on what it shows, disagrees with its
neighbours. To slices on which nobody drew the object, the model carries it forwards and backwards.

Features of a slice are computed once for all objects, prompts and directions, and kept on disk.

References
----------
.. [1] N. Ravi et al., "SAM 2: segment anything in images and videos", 2024. :arxiv:`2408.00714`
.. [2] J. Ma et al., "MedSAM2: segment anything in 3D medical images and videos", 2025.
   :arxiv:`2504.03600`
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import Sam2VideoInferenceSession, Sam2VideoModel

from crowdqc.findings import InputError
from samgen.cache import EmbeddingCache
from samgen.devices import choose_bf16, choose_device, lower_precision
from samgen.predictor import SUPPORT, ModelRequest, Prompts
from samgen.regions import region_of
from samgen.sam2_features import SliceFeatures
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

VERSION = 3
"""Version of the masks: raised when the same input gives others."""
MEMORY = 4
"""Prompted slices that are remembered at a time, the nearest: as many as in training."""
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
        Prompted slices that are remembered at a time, the nearest; with 0 masks come from the own
        box alone, and gaps stay empty.
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
            memory=MEMORY if request.memory_slices is None else request.memory_slices,
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

    def features(self, volume: Volume) -> SliceFeatures:
        """Features of the slices of a volume."""
        return SliceFeatures(
            self.model, volume, digest=self.encoder, cache=self._cache, bf16=self.bf16
        )

    def predict(self, volume: Volume, prompts: ObjectPrompts) -> VolumePrediction:
        """Mean masks of an object on its slices and in its gaps."""
        found = list(self._planes(self.features(volume), prompts))
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
        features = self.features(volume)
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

    def _planes(self, features: SliceFeatures, one: ObjectPrompts) -> Iterator[Planes]:
        """The masks of an object, slice by slice."""
        own = dict(zip(one.slices, one.prompts, strict=True))
        if not self.takes_points:
            own = {k: asked.boxes_alone() for k, asked in own.items()}
        made_up = dict(zip(one.slices, one.interpolated.tolist(), strict=True))
        prompted = [k for k in own if not made_up[k] or not self._memory] or list(own)
        wanted = sorted([*own, *(one.gaps if self._memory else ())])
        remembered = prompted if self._memory and len(wanted) > 1 else []
        with torch.inference_mode(), lower_precision(self._device, self.bf16):
            session = self._session(features, one.slices[0], wanted[-1] - wanted[0] + 1)
            first = {k: self._remember(session, features, k=k, asked=own[k]) for k in remembered}
            carried = self._carried(session, features, sorted({*wanted} - {*prompted}))
            for k in wanted:
                if k in carried:
                    yield k, features.enlarged(torch.cat(carried[k])), {}
                    continue
                known = first.get(k) if np.array_equal(own[k].box, own[k].boxes[0]) else None
                planes = features.enlarged(self._from_prompts(features, k, own[k], known=known))
                second = self._expected(session, k - features.first)
                dice = np.nan if second is None else _dice(planes, features.enlarged(second))
                yield k, planes, {"propagation_dice": dice}

    def _session(self, features: SliceFeatures, first: int, n: int) -> Any:
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

    def _remember(self, session: Any, features: SliceFeatures, *, k: int, asked: Prompts) -> Tensor:
        """Prompt a slice with the object's box and points; its logits (1, 1, h, w)."""
        frame, points = k - features.first, features.points(asked.box[None], asked.marks)
        session.add_point_inputs(0, frame, {"point_coords": points[0], "point_labels": points[1]})
        session.obj_with_new_inputs = [1]
        answer: Tensor = self.model(session, frame_idx=frame).pred_masks
        return answer

    def _carried(
        self, session: Any, features: SliceFeatures, gaps: Sequence[int]
    ) -> dict[int, list[Tensor]]:
        """Logits on slices without a prompt, as the object is carried forwards and backwards."""
        outputs = session.output_dict_per_obj[0]["non_cond_frame_outputs"]
        found: dict[int, list[Tensor]] = {k: [] for k in gaps}
        for reverse in (False, True):
            outputs.clear()
            order = gaps[::-1] if reverse else gaps
            for k, following in zip_longest(order, order[1:]):
                # Memories are read so many slices on; of none later, not at all.
                read = following is not None and abs(following - k) < self.model.num_maskmem
                answer = self.model(
                    session, frame_idx=k - features.first, reverse=reverse, run_mem_encoder=read
                )
                found[k].append(answer.pred_masks)
        outputs.clear()
        return found

    def _expected(self, session: Any, frame: int) -> Tensor | None:
        """Logits on a prompted frame that the nearest others predict; None where there are none.

        Memories of gaps are left out: the frame's own box had a part in them.
        """
        outputs = session.output_dict_per_obj[0]
        kept = outputs["cond_frame_outputs"]
        others = {other: memory for other, memory in kept.items() if other != frame}
        if not others:
            return None
        model: Any = self.model
        near, _ = model._select_closest_cond_frames(frame, others, self._memory)  # noqa: SLF001 - as its `forward`
        later = sum(other > frame for other in near)
        try:
            outputs["cond_frame_outputs"] = dict(sorted(near.items()))
            # Only pointers of one side are read: of the side with more slices.
            answer = model(
                session, frame_idx=frame, reverse=2 * later > len(near), run_mem_encoder=False
            )
        finally:
            outputs["cond_frame_outputs"] = kept
            outputs["non_cond_frame_outputs"].clear()
        second: Tensor = answer.pred_masks
        return second

    def _from_prompts(
        self, features: SliceFeatures, k: int, asked: Prompts, *, known: Tensor | None = None
    ) -> Tensor:
        """Logits (K, 1, h, w) of boxes on a slice, each from the slice and all points.

        `known` are those of the first box, where they are known.
        """
        maps, boxes = features.maps(k), asked.boxes
        parts = [] if known is None else [known]
        for start in range(len(parts), len(boxes), CHUNK):
            points, labels = features.points(boxes[start : start + CHUNK], asked.marks)
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


def _dice(own: NDArray[np.float32], carried: NDArray[np.float32]) -> float:
    """Dice of the masks of two sets of drawings; nan where both are empty."""
    one, other = own.mean(axis=0) > 0.5, carried.mean(axis=0) > 0.5
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else float("nan")
