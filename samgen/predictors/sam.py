"""SAM and MedSAM as a `samgen.predictor.BoxPredictor`.

Two modes. "best" gives each model the pictures and boxes that it was trained with and asks the
mask head that was trained. "paper" does what the study of Kulkarni et al. did, step by step and
bit by bit, so that its masks can be made again: both models through `SamPredictor`, edges
enhanced for SAM, boxes truncated to integers, three masks a box and of them the one that the
model likes best. For MedSAM that is not what its authors do, and it shows.

| | SAM, best | MedSAM, best | paper |
|---|---|---|---|
| picture | longest side to 1024, padded | stretched to 1024 x 1024 | as SAM; for SAM, plus edges |
| values | mean and deviation of SA-1B | 0 to 1 by minimum and maximum | as SAM |
| box | half a pixel set right | half a pixel set right | truncated to integers |
| mask | head for clear prompts | head for clear prompts | best of the other three |
| resized | logits | probabilities | logits |
| predicted IoU | of the head | nan: never trained | of the chosen head |

References
----------
.. [1] A. Kirillov et al., "Segment Anything", ICCV 2023. :doi:`10.1109/ICCV51070.2023.00371`
.. [2] J. Ma et al., "Segment anything in medical images", Nature Communications 15, 2024.
   :doi:`10.1038/s41467-024-44824-z`
.. [3] A. Kulkarni et al., "Anytime, Anywhere, Anyone: Investigating the Feasibility of Segment
   Anything Model for Crowd-Sourcing Medical Image Annotations", 2024. arXiv:2403.15218
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from crowdqc.findings import InputError
from crowdqc.geometry import Boxes, as_boxes
from samgen.cache import Embedding, EmbeddingCache, Signature, hash_pixels
from samgen.cards import Adapted
from samgen.checkpoints import Family
from samgen.decoder import CHUNK_CPU, CHUNK_GPU, decode_boxes
from samgen.devices import choose_bf16, choose_device
from samgen.encoder import encode_pictures
from samgen.enlarge import Enlargement, enlarge_directly, enlarge_through
from samgen.predictor import (
    SUPPORT,
    BoxPredictor,
    ModelRequest,
    Prediction,
    Prompts,
    in_groups,
)
from samgen.preparation import place_boxes, place_points, prepare_for_medsam, prepare_for_sam
from samgen.regions import Region
from samgen.sam_stock import build_sam, encode_as_paper, predict_as_paper
from samgen.settings import Noise
from samgen.uncertainty import Summary, reduce_masks
from samgen.weights import find_weights, load_changed, load_state

Mode = Literal["best", "paper"]

VERSION = 2
"""Version of the masks: raised when the same input gives others."""

GRID = 4
"""Side of a cell of the decoder's grid, in px of the encoder's input."""

LEAST = math.log(SUPPORT / (1 - SUPPORT))
"""Logit up to which a pixel is background."""

TOGETHER = 512
"""Boxes decoded in one go: their logits take 128 MiB."""

ENCODER = "image_encoder."
"""Beginning of the names of the image encoder's tensors."""


def load_predictor(
    model: str,
    *,
    mode: Mode = "best",
    device: str = "auto",
    folder: Path | None = None,
    cache: Path | None = None,
    adapted: Adapted | None = None,
    precision: str = "auto",
) -> SamBoxPredictor:
    """Load SAM or MedSAM.

    Parameters
    ----------
    model : str
        ``sam_vit_b``, ``sam_vit_l``, ``sam_vit_h``, ``medsam``, or the path of a checkpoint, as
        `samgen.weights.find_weights` reads it.
    mode : {"best", "paper"}
        See the module.
    device : str
        A device of torch, such as ``"cpu"`` or ``"cuda:1"``; ``"auto"`` is the first GPU, or the
        CPU where there is none.
    folder : Path, optional
        Where named checkpoints lie; by default what ``CROWDQC_WEIGHTS`` says.
    cache : Path, optional
        Where embeddings are kept; by default nowhere.
    adapted : Adapted, optional
        What `crowdqc adapt` made of it.
    precision : {"auto", "float32", "bfloat16"}
        In which the picture is encoded: ``auto`` is bfloat16 on a GPU that multiplies it.

    Raises
    ------
    InputError
        If the weights are not there, are not what they should be, or do not fit the model; if
        there is no such device, or it lacks bfloat16 that was asked for.
    """
    where = choose_device(device)
    if mode == "paper" and precision == "bfloat16":
        raise InputError(
            "[masks] precision: mode = 'paper' is the stock code in float32; leave 'bfloat16' out."
        )
    bf16 = choose_bf16(precision, where)
    weights = find_weights(model, folder)
    state = load_state(weights.path)
    changed: dict[str, Any] = {}
    if adapted is not None:
        adapted.refuse_other_base(weights.digest)
        changed = load_changed(adapted.path, state)
    sam = build_sam({**state, **changed}, weights.path)
    name = model if weights.path.name not in model else weights.path.stem
    encodes_anew = any(tensor.startswith(ENCODER) for tensor in changed)
    predictor = SamBoxPredictor(
        sam.to(where),
        name=adapted.path.stem if adapted else name,
        digest=adapted.digest if adapted else weights.digest,
        encoder=None if encodes_anew else weights.digest,
        family=weights.family,
        mode=mode,
        cache=None if cache is None else EmbeddingCache(cache),
    )
    predictor.bf16 = bf16
    predictor.learned = frozenset(changed)
    return predictor


class SamBoxPredictor(BoxPredictor):
    """SAM or MedSAM on grey pictures.

    Parameters
    ----------
    sam : segment_anything.modeling.Sam
        The model, on its device.
    name : str
        What tables call it.
    digest : str
        Hash of the weights.
    encoder : str, optional
        Hash of the weights whose image encoder it has; by default `digest`.
    family : {"sam", "medsam"}
        How it was trained.
    mode : {"best", "paper"}
        See the module.
    cache : EmbeddingCache, optional
        Where embeddings are kept.
    """

    keeps_encoded = True
    bf16 = False
    """Whether pictures are encoded in bfloat16, but for the mode "paper"."""

    def __init__(
        self,
        sam: Any,
        *,
        name: str,
        digest: str,
        encoder: str | None = None,
        family: Family = "sam",
        mode: Mode = "best",
        cache: EmbeddingCache | None = None,
    ) -> None:
        self.sam = sam
        self.family = family
        self.mode = mode
        self.cache = cache
        self._name = name
        self._digest = digest
        self._encoder = encoder or digest
        self.learned: frozenset[str] = frozenset()

    @classmethod
    def open(cls, request: ModelRequest) -> SamBoxPredictor:
        """As `load_predictor`."""
        return load_predictor(
            request.model,
            mode=request.mode,
            device=request.device,
            cache=request.cache,
            adapted=request.adapted,
            precision=request.precision,
        )

    @property
    def name(self) -> str:
        """Name of the model."""
        return self._name

    @property
    def signature(self) -> str:
        """Text that changes whenever masks may."""
        return f"{self.family} {self.mode} {self._digest} {self._arithmetic} version {VERSION}"

    @property
    def digest(self) -> str:
        """Hash of the weights."""
        return self._digest

    @property
    def last_wins(self) -> bool:
        """Whether, where objects overlap, the last in order wins, as in the paper."""
        return self.mode == "paper"

    @property
    def takes_points(self) -> bool:  # type: ignore[override] # of the class, it is asked by name
        """Whether points are prompts: MedSAM was trained with boxes alone."""
        return self.family == "sam" and self.mode == "best"

    @property
    def noise(self) -> Noise:
        """How the boxes strayed that the model was trained with."""
        return "medsam" if self.family == "medsam" else "sam"

    @property
    def _arithmetic(self) -> str:
        if self.mode == "paper":
            return f"stock {self.sam.device.type} float32"
        return f"rewritten {self.sam.device.type} {'bfloat16' if self.bf16 else 'float32'}"

    @property
    def _preprocessing(self) -> str:
        return f"{self.family} {self.mode} {self.sam.image_encoder.img_size}"

    def device_bytes(self) -> int:
        """Most memory that torch took on the GPU so far; 0 on a CPU."""
        device = self.sam.device
        return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0

    def encode(self, picture: NDArray[np.uint8]) -> Embedding:
        """Embedding of a picture, from the cache where it is there.

        Raises
        ------
        ValueError
            If `picture` is not such an array, or has no pixels.
        InputError
            If the cache holds a wrong file.
        """
        if picture.ndim != 2 or picture.dtype != np.uint8 or picture.size == 0:
            raise ValueError(
                "'picture' must be uint8 of shape (rows, columns), not empty; got "
                f"{picture.dtype} of shape {picture.shape}. Window the volume first."
            )
        return self._kept(picture, self._preprocessing, self._encode)

    def _kept(
        self, picture: NDArray[np.uint8], preprocessing: str, make: Callable[..., Embedding]
    ) -> Embedding:
        """What is made of a picture, from the cache where it is there."""
        if self.cache is None:
            return make(picture)
        signature = Signature(
            pixels=hash_pixels(picture),
            preprocessing=preprocessing,
            checkpoint=self._encoder,
            arithmetic=self._arithmetic,
        )
        return self.cache.kept(signature, lambda: make(picture))

    def predict(self, encoded: Embedding, boxes: Boxes) -> Prediction:
        """Masks of some boxes.

        Parameters
        ----------
        encoded : Embedding
            From `encode`.
        boxes : ndarray, shape (K, 4)
            ``x0, y0, x1, y1`` in px of the picture.

        Returns
        -------
        prediction : Prediction
            A pixel is inside where the probability is above 0.5. The predicted IoU of MedSAM is
            nan in the mode "best": that head was never trained.

        Raises
        ------
        ValueError
            If `boxes` are not boxes.
        """
        boxes = as_boxes("boxes", boxes)
        if self.mode == "paper":
            return predict_as_paper(self.sam, encoded, boxes)
        return self.predict_object(encoded, Prompts(boxes[:1], boxes, (len(boxes),)))

    def predict_object(self, encoded: Embedding, prompts: Prompts) -> Prediction:
        """Masks of the boxes of an object, each with all its points where it `takes_points`."""
        boxes = prompts.boxes
        if self.mode == "paper":
            return predict_as_paper(self.sam, encoded, boxes)
        if not self.takes_points:
            prompts = prompts.boxes_alone()
        logits, predicted_iou = self._decode(encoded, [prompts])
        enlarge = self._enlargement(encoded)
        probability = np.empty((len(boxes), *encoded.picture_size), np.float32)
        step = CHUNK_CPU if logits.device.type == "cpu" else CHUNK_GPU
        for start in range(0, len(boxes), step):
            part = slice(start, start + step)
            probability[part] = self._soft(logits[part], enlarge).cpu().numpy()
        return Prediction(probability=probability, predicted_iou=predicted_iou.cpu().numpy())

    def summarise(self, encoded: Embedding, objects: Sequence[Prompts]) -> Iterator[Summary]:
        """What is kept of the masks of each object, computed on the device.

        The boxes of all objects are decoded together, up to `TOGETHER` of them.
        """
        if self.mode == "paper":
            yield from super().summarise(encoded, objects)
            return
        enlarge = self._enlargement(encoded)
        if not self.takes_points:
            objects = [one.boxes_alone() for one in objects]
        for some in in_groups(objects, TOGETHER):
            logits, predicted_iou = self._decode(encoded, some)
            per_object = logits.split([len(one.boxes) for one in some])
            ious = predicted_iou.cpu().split([len(one.boxes) for one in some])
            found = enlarge.reach(torch.stack([part.amax(dim=0) > LEAST for part in per_object]))
            regions = [one.region(also) for one, also in zip(some, found, strict=True)]
            for one, part, region, iou in zip(some, per_object, regions, ious, strict=True):
                soft = self._soft(part, enlarge, region)
                kept = reduce_masks(soft, one.sizes, entr=torch.special.entr)
                mean, sources, each, shared = (array.cpu().numpy() for array in kept)
                yield Summary(region, mean, sources, each, shared, iou.numpy(), len(one.sizes))

    def _decode(
        self, encoded: Embedding, objects: Sequence[Prompts]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (K, h, w) on the decoder's grid and predicted IoU (K,), on the device.

        All objects have the same number of points.
        """
        sizes = {"picture": encoded.picture_size, "covered": encoded.input_size}
        placed = self._tensor(place_boxes(np.vstack([one.boxes for one in objects]), **sizes))
        points = None
        if len(objects[0].marks):
            given = np.vstack([np.tile(one.marks, (len(one.boxes), 1, 1)) for one in objects])
            where = self._tensor(place_points(given[..., :2], **sizes))
            points = where, self._tensor(given[..., 2])
        features = self._tensor(encoded.features)
        logits, ious = decode_boxes(self.sam, features, placed, points=points)
        return logits, torch.full_like(ious, torch.nan) if self.family == "medsam" else ious

    def _enlargement(self, encoded: Embedding) -> Enlargement:
        side = self.sam.image_encoder.img_size
        grid = side // GRID, side // GRID
        if self.family == "medsam":
            return enlarge_directly(grid, encoded.picture_size, device=self.sam.device)
        return enlarge_through(
            side,
            grid,
            encoded.picture_size,
            covered=encoded.input_size,
            device=self.sam.device,
        )

    def _soft(
        self, logits: torch.Tensor, enlarge: Enlargement, region: Region | None = None
    ) -> torch.Tensor:
        """Probabilities on a region; SAM resizes its logits, MedSAM its probabilities."""
        if self.family == "sam":
            return enlarge(logits, region).sigmoid()
        return enlarge(logits.sigmoid(), region)

    def _tensor(self, array: NDArray[Any]) -> torch.Tensor:
        return torch.as_tensor(array, dtype=torch.float32, device=self.sam.device)

    def _encode(self, picture: NDArray[np.uint8]) -> Embedding:
        if self.mode == "paper":
            return encode_as_paper(self.sam, picture, edges=self.family == "sam")
        pixels, covered = self.prepared(picture)
        features = encode_pictures(self.sam.image_encoder, pixels, bf16=self.bf16)
        return Embedding(
            features=features[0].cpu().numpy(), picture_size=picture.shape, input_size=covered
        )

    def prepared(self, picture: NDArray[np.uint8]) -> tuple[torch.Tensor, tuple[int, int]]:
        """The encoder's input (1, 3, S, S), and the rows and columns of it that are no padding."""
        prepare = prepare_for_sam if self.family == "sam" else prepare_for_medsam
        pixels, covered = prepare(picture, self.sam.image_encoder.img_size)
        return self._tensor(pixels)[None], covered
