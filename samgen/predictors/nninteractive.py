"""nnInteractive as a `samgen.volume_predictor.VolumePredictor`.

A network of volumes, not of pictures: it is shown the intensities as they are stored, in the axes
of the file, all boxes of an object (those that somebody drew), and the raters' points; then it
draws once, and answers for all slices together. Prompts weigh less the earlier they are added, as
its authors want it, so the boxes that say most come last: the one in the middle, before it those
of both ends, before these the ones half way between, and so on.

References
----------
.. [1] F. Isensee et al., "nnInteractive: redefining 3D promptable segmentation", 2025.
   :arxiv:`2503.08373`
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.draw import line as draw_line

from samgen.devices import choose_device
from samgen.nninteractive_state import SoftSession, load_session
from samgen.predictor import SUPPORT, ModelRequest, Prompts
from samgen.regions import hull, region_of
from samgen.volume_predictor import ObjectPrompts, Volume, VolumePrediction, VolumePredictor
from samgen.weights import find_weights

VERSION = 1
"""Version of the masks: raised when the same input gives others."""
SEED = 0
"""Of the numbers by which the library chooses patches to draw again."""
JUST_INSIDE = np.nextafter(np.float32(0.5), np.float32(1))

Span = tuple[int, int]
"""From a voxel to the one after the last."""


class NnInteractivePredictor(VolumePredictor):
    """nnInteractive.

    Parameters
    ----------
    session : SoftSession
        The library's session, with its network.
    name : str
        What tables call it.
    digest : str
        Hash of the weights.
    """

    takes_points = True

    def __init__(self, session: SoftSession, *, name: str, digest: str) -> None:
        self._session = session
        self._name, self._digest = name, digest
        self._shown: Volume | None = None

    @classmethod
    def open(cls, request: ModelRequest) -> NnInteractivePredictor:
        """The published model, or that of a folder: ``nninteractive:FOLDER``.

        Raises
        ------
        InputError
            If the weights are not there, are not what they should be, or do not fit.
        """
        device = choose_device(request.device)
        weights = find_weights(request.model)
        name = request.model if request.weights is None else request.weights.name
        return cls(load_session(weights.path, device), name=name, digest=weights.digest)

    @property
    def name(self) -> str:
        """Name of the model."""
        return self._name

    @property
    def signature(self) -> str:
        """Text that changes whenever masks may."""
        library, device = version("nninteractive"), self._session.device.type
        return f"nninteractive {self._digest} {library} {device} version {VERSION}"

    def device_bytes(self) -> int:
        """Most memory that torch took on the GPU so far; 0 on a CPU."""
        device = self._session.device
        return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0

    def predict(self, volume: Volume, prompts: ObjectPrompts) -> VolumePrediction:
        """One drawing of an object, on its slices and in its gaps."""
        slices = tuple(sorted([*prompts.slices, *prompts.gaps]))
        with contextlib.redirect_stdout(None), _seeded():  # the library talks, and draws lots
            self._show(volume)
            self._ask(volume, prompts)
        session = self._session
        inside = np.asarray(session.target_buffer, bool)
        soft = session.soft.numpy()
        soft = np.where(inside, np.maximum(soft, JUST_INSIDE), np.minimum(soft, np.float32(0.5)))
        planes = volume.from_file_axes(soft)[list(slices)]
        touched = region_of(planes.max(axis=0) > SUPPORT)
        region = hull([one.region(touched) for one in prompts.prompts])
        return VolumePrediction(
            slices=slices, region=region, probability=planes[:, *region][None].copy()
        )

    def _show(self, volume: Volume) -> None:
        """Give the session an image, and clear what was asked before."""
        session = self._session
        if volume is not self._shown:
            image = volume.to_file_axes(volume.intensities)
            session.set_image(image[None])
            session.set_target_buffer(np.zeros(image.shape, np.uint8))
            session.soft = torch.zeros(image.shape)
            session._finish_preprocessing_and_initialize_interactions()  # noqa: SLF001 - it waits
            self._shown = volume
        session.forget()

    def _ask(self, volume: Volume, prompts: ObjectPrompts) -> None:
        """Add all points, scribbles and boxes of an object, and draw with the last of them."""
        session = self._session
        own = dict(zip(prompts.slices, prompts.prompts, strict=True))
        made_up = dict(zip(prompts.slices, prompts.interpolated.tolist(), strict=True))
        order = inwards([k for k in own if not made_up[k]] or list(own))
        for k in order:
            for x, y, positive in own[k].points:
                place = voxels(volume, [(k, k + 1), _pixel(y), _pixel(x)])
                session.add_point_interaction(
                    [first for first, _ in place],
                    include_interaction=bool(positive),
                    run_prediction=False,
                )
            for line in own[k].scribbles:
                wide = max(session.preferred_scribble_thickness or [1])
                image = painted(line, k, volume.pictures.shape, wide=wide)
                session.add_scribble_interaction(
                    np.ascontiguousarray(volume.to_file_axes(image)),
                    include_interaction=bool(line[0, 2]),
                    run_prediction=False,
                )
        for k in order:
            place = voxels(volume, _spans(k, own[k]))
            session.add_bbox_interaction(
                [list(span) for span in place],
                include_interaction=True,
                run_prediction=k == order[-1],
            )


def painted(
    scribble: NDArray[np.float64], plane: int, shape: tuple[int, ...], *, wide: int = 1
) -> NDArray[np.uint8]:
    """The pixels of a volume that a line on one of its planes passes, as 1.

    Parameters
    ----------
    scribble : ndarray, shape (M, 3)
        Corners ``x, y`` in px, and whether on the object.
    plane : int
    shape : tuple of int
        Planes, rows and columns.
    wide : int
        Thickness of the line in px, as the network was trained: half of it goes to either side.
    """
    image = np.zeros(shape, np.uint8)
    last = np.array(shape[:0:-1]) - 1
    corners = np.clip(np.floor(scribble[:, :2]), 0, last).astype(int)
    for (x0, y0), (x1, y1) in pairwise(corners):
        image[plane][draw_line(y0, x0, y1, x1)] = 1
    if wide > 1:
        image[plane] = ndimage.binary_dilation(image[plane], iterations=wide // 2)
    return image


@contextlib.contextmanager
def _seeded() -> Iterator[None]:
    """NumPy's global numbers, from which the library chooses patches, the same each time."""
    before = np.random.get_state()  # noqa: NPY002 - the library knows no other
    np.random.seed(SEED)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


def inwards(slices: Sequence[int]) -> list[int]:
    """Slices in the order in which their boxes are added: what says most comes last.

    Last is the one nearest the middle, before it the ends, before these each time the slice that
    is farthest from all that come after it.

    Parameters
    ----------
    slices : sequence of int
        Increasing.

    Examples
    --------
    >>> inwards([0, 1, 2, 3, 4])
    [3, 1, 4, 0, 2]
    """
    middle = (slices[0] + slices[-1]) / 2
    chosen = [min(slices, key=lambda k: (abs(k - middle), k))]
    left = np.array([k for k in slices if k != chosen[0]])
    far = np.abs(left - chosen[0])
    while left.size:
        at = int(far.argmax())
        chosen.append(int(left[at]))
        far = np.minimum(far, np.abs(left - left[at]))
        left, far = np.delete(left, at), np.delete(far, at)
    return chosen[::-1]


def _spans(k: int, prompts: Prompts) -> list[Span]:
    """The voxels of a box on a slice, one at least along each axis: plane, rows, columns."""
    x0, y0, x1, y1 = np.floor(prompts.box + 0.5).astype(int).tolist()
    return [(k, k + 1), (y0, max(y1, y0 + 1)), (x0, max(x1, x0 + 1))]


def _pixel(place: float) -> Span:
    """The pixel that a coordinate lies in."""
    first = int(np.floor(place))
    return first, first + 1


def voxels(volume: Volume, spans: Sequence[Span]) -> list[Span]:
    """Spans along plane, rows and columns as spans along the axes of the file.

    Parameters
    ----------
    volume : Volume
    spans : sequence of (int, int)
        First voxel and the one after the last, along plane, rows and columns.
    """
    found = []
    for axis, flipped in volume.file_axes:
        first, stop = spans[axis]
        n = volume.pictures.shape[axis]
        found.append((n - stop, n - first) if flipped else (first, stop))
    return found
