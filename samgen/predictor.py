"""What a model that draws masks from boxes looks like to the rest of samgen.

A picture is encoded once, and any number of boxes is then asked of it: that is where the time
goes with SAM, whose encoder takes a hundred times as long as its decoder. Only NumPy arrays
pass through this door, so that whoever uses a model needs to know neither it nor torch.

There are two ways to ask. `BoxPredictor.predict` is for people: some boxes, and for each of them
its mask on the whole picture. `BoxPredictor.summarise` is for work: all objects of a picture at
once, so that a GPU has enough to do, and of the many masks of an object only what the numbers
and maps need, computed where the masks are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from crowdqc.findings import InputError
from crowdqc.geometry import Boxes
from samgen.cards import Adapted
from samgen.regions import Region, hull, region_of, region_round
from samgen.settings import Noise
from samgen.uncertainty import Summary, summarise

SUPPORT = 0.01
"""A probability up to this, outside of all prompts, is background: nobody looks at it."""


@dataclass(frozen=True, kw_only=True)
class ModelRequest:
    """What a study asks of a model that is to be opened.

    Parameters
    ----------
    model : str
        ``[masks] model`` as it was written: a registered name, ``NAME:FILE``, or a path.
    weights : Path, optional
        The file behind the name.
    mode : {"best", "paper"}
        ``[masks] mode``; a model that knows one way only need not look at it.
    device : str
        Device of torch: ``"auto"``, ``"cpu"``, ``"cuda:1"``.
    cache : Path, optional
        Folder for what may be kept between runs; nothing is kept without one.
    adapted : Adapted, optional
        What `crowdqc adapt` made of the model, and is to be opened instead of it.
    precision : {"auto", "float32", "bfloat16"}
        In which products are taken: ``auto`` as the model likes on that device.
    memory_slices, picture_px : int, optional
        How many prompted slices a model of volumes remembers, and the side of the pictures that
        it is shown; None is as it was trained.
    """

    model: str
    weights: Path | None = None
    mode: Literal["best", "paper"] = "best"
    device: str = "auto"
    cache: Path | None = None
    adapted: Adapted | None = None
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    memory_slices: int | None = None
    picture_px: int | None = None


SAMPLES = 5
"""Points that stand for a scribble: SAM was trained with a few points an object."""


def no_points() -> NDArray[np.float64]:
    """What stands for points where there are none, (0, 3)."""
    return np.zeros((0, 3))


def sample_along(scribble: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points at equal distances along a line, the first and the last half of one from its ends.

    Parameters
    ----------
    scribble : ndarray, shape (M, 3)
        Corners ``x, y`` in px, and 1 on the object, 0 beside it.

    Returns
    -------
    ndarray, shape (N, 3)
        `SAMPLES`, or one where the line has no length.

    Examples
    --------
    >>> sample_along(np.array([[0.0, 0, 1], [5, 0, 1], [5, 5, 1]]))[:, :2].tolist()
    [[1.0, 0.0], [3.0, 0.0], [5.0, 0.0], [5.0, 2.0], [5.0, 4.0]]
    """
    steps = np.hypot(*np.diff(scribble[:, :2], axis=0).T)
    along = np.append(0, np.cumsum(steps))
    if along[-1] == 0:
        return scribble[:1]
    wanted = (np.arange(SAMPLES) + 0.5) / SAMPLES * along[-1]
    found: NDArray[np.float64] = np.stack(
        [np.interp(wanted, along, scribble[:, axis]) for axis in range(3)], axis=1
    )
    return found


@dataclass(frozen=True, eq=False)
class Prompts:
    """What a model is asked about one object.

    Parameters
    ----------
    box : ndarray of float64, shape (4,)
        ``x0, y0, x1, y1`` in px: the box of the object, which masks should fit.
    boxes : ndarray of float64, shape (K, 4)
        The prompts; those of one source lie next to each other.
    sizes : tuple of int
        Number of prompts of each source (the box itself, or that of a rater); their sum is K.
    points : ndarray of float64, shape (N, 3)
        Points that raters set, ``x, y`` in px, and 1 on the object, 0 beside it. All boxes have
        the same.
    scribbles : tuple of ndarray, each (M, 3)
        Lines that raters drew: their corners, as `points`.
    label : str
        What the object is, for models that know some labels by name.
    """

    box: NDArray[np.float64]
    boxes: Boxes
    sizes: tuple[int, ...]
    points: NDArray[np.float64] = field(default_factory=no_points)
    label: str = ""
    scribbles: tuple[NDArray[np.float64], ...] = ()

    @property
    def marks(self) -> NDArray[np.float64]:
        """The points, and `SAMPLES` along each scribble, (N, 3)."""
        return np.concatenate([self.points, *map(sample_along, self.scribbles)])

    def boxes_alone(self) -> Prompts:
        """The same without points and scribbles."""
        return replace(self, points=no_points(), scribbles=())

    def region(self, also: Region | None = None) -> Region:
        """The part of the picture with all pixels that a prompt touches, and another part."""
        own = region_round(self.boxes)
        return own if also is None else hull([own, also])


def in_groups(objects: Iterable[Prompts], limit: int) -> Iterator[list[Prompts]]:
    """Objects in groups of a limited number of prompts, or of one object with more.

    All objects of a group have the same number of points.

    Parameters
    ----------
    objects : iterable of Prompts
        Of one slice.
    limit : int
        Most prompts of a group.

    Yields
    ------
    list of Prompts
        Neighbours, in the given order.
    """
    group: list[Prompts] = []
    for one in objects:
        full = sum(len(other.boxes) for other in [*group, one]) > limit
        if group and (full or len(one.marks) != len(group[0].marks)):
            yield group
            group = []
        group.append(one)
    if group:
        yield group


@dataclass(frozen=True, eq=False)
class Prediction:
    """Soft masks of some boxes on one picture.

    Parameters
    ----------
    probability : ndarray of float32, shape (K, rows, columns)
        Probability of each pixel to belong to the object in box k. Models that think in
        logits apply the sigmoid *after* resizing to the picture, as SAM does.
    predicted_iou : ndarray of float64, shape (K,)
        How good the model thinks each mask is; nan from a model that has no opinion, or
        whose opinion was not trained (MedSAM).
    """

    probability: NDArray[np.float32]
    predicted_iou: NDArray[np.float64]


class Model(Protocol):
    """What all models have, in two dimensions or three, with defaults but for two texts."""

    uses_gpu: bool = True
    """Whether it computes on the device that the study names; else always on the CPU."""
    in_3d: ClassVar[bool] = False
    """Whether it draws volumes (`samgen.volume_predictor`), not pictures."""
    takes_points: bool = False
    """Whether it draws from points beside boxes."""
    keeps_encoded: bool = False
    """Whether it keeps encoded pictures in `ModelRequest.cache`, and encodes none of them twice."""

    @classmethod
    def open(cls, request: ModelRequest) -> Self:  # noqa: ARG003
        """Make the model ready, without arguments where a model does not say how.

        Raises
        ------
        InputError
            If its weights are not there or not right, or there is no such device.
        """
        return cls()

    @property
    def name(self) -> str:
        """Name of the model, as in the column ``model`` of the table ``masks``."""
        ...

    @property
    def signature(self) -> str:
        """Text that changes whenever masks may: settings, weights, version of the code."""
        ...

    @property
    def last_wins(self) -> bool:
        """Whether overlaps go to the last object in order; else to the most probable one."""
        return False

    @property
    def noise(self) -> Noise:
        """How the boxes strayed that the model was trained with: a law of `samgen.prompts`."""
        return "sam"

    def device_bytes(self) -> int:
        """Most memory that it took on its GPU so far; 0 without one."""
        return 0

    def about(self, label: str) -> Self:  # noqa: ARG002
        """The model for objects of a label: itself, unless it knows that label by name.

        What one of them has encoded, the other can draw on.
        """
        return self


@runtime_checkable
class BoxPredictor(Model, Protocol):
    """A model that draws masks on one picture from boxes.

    Its class is registered as an entry point of the group ``crowdqc.predictors``; whoever derives
    from this one gets everything but `name`, `signature`, `encode` and `predict`.
    `samgen.slicewise` lets it draw volumes.
    """

    def encode(self, picture: NDArray[np.uint8]) -> Any:
        """Do once what is the same for all boxes on a picture.

        Parameters
        ----------
        picture : ndarray of uint8, shape (rows, columns)
            Grey values, windowed.

        Returns
        -------
        object
            For `predict` of the same model only. It must not be changed by it.
        """
        ...

    def predict(self, encoded: Any, boxes: Boxes) -> Prediction:
        """Masks of some boxes on an encoded picture.

        Parameters
        ----------
        encoded : object
            From `encode`.
        boxes : ndarray of float64, shape (K, 4)
            ``x0, y0, x1, y1`` in px of the picture, within it; not rounded.

        Returns
        -------
        Prediction
            Each mask depends on its own box only, not on the others of the call.
        """
        ...

    def predict_object(self, encoded: Any, prompts: Prompts) -> Prediction:
        """Masks of the boxes of one object; a model that `takes_points` looks at its points, too.

        Parameters
        ----------
        encoded : object
            From `encode`.
        prompts : Prompts

        Returns
        -------
        Prediction
        """
        return self.predict(encoded, prompts.boxes)

    def summarise(self, encoded: Any, objects: Sequence[Prompts]) -> Iterator[Summary]:
        """What is kept of the masks of each of some objects of one encoded picture.

        A model that gains by it decodes the prompts of many objects together; this one, for
        the others, asks `predict_object` about one object after another.

        Parameters
        ----------
        encoded : object
            From `encode`.
        objects : sequence of Prompts

        Yields
        ------
        Summary
            One for each object, in order. Its region holds all prompts, and all pixels that
            one of the masks gives more than `SUPPORT`.
        """
        for prompts in objects:
            prediction = self.about(prompts.label).predict_object(encoded, prompts)
            _refuse_odd(prediction, len(prompts.boxes), self.name)
            support = prediction.probability.max(axis=0) > SUPPORT
            region = prompts.region(region_of(support))
            yield summarise(
                prediction.probability[:, *region],
                prompts.sizes,
                region=region,
                predicted_iou=prediction.predicted_iou,
            )


def _refuse_odd(prediction: Any, n: int, name: str) -> None:
    """Refuse what a model of another package gives for `n` boxes, where it is no masks."""
    shape = np.shape(getattr(prediction, "probability", 0.0))
    if len(shape) != 3 or shape[0] != n:
        raise InputError(
            f"the model '{name}' must give a Prediction with a probability of shape ({n}, rows, "
            f"columns) for {n} boxes; got {shape or type(prediction).__name__}. Report it to its "
            "authors."
        )


class LazyPredictor:
    """A model that is loaded where and when it is first asked for anything.

    It travels to another machine as the way to load it, not as its weights.

    Parameters
    ----------
    load : callable
        Gives the model that this one stands for.
    """

    def __init__(self, load: Callable[[], Model]) -> None:
        self._load = load
        self._model: Model | None = None

    def __reduce__(self) -> tuple[type[LazyPredictor], tuple[Callable[[], Model]]]:
        return LazyPredictor, (self._load,)

    def __getattr__(self, name: str) -> Any:
        if self._model is None:
            self._model = self._load()
        return getattr(self._model, name)
