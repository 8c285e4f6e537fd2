"""From the boxes of one object to several boxes to prompt a model with.

How much a mask changes when its box does is the cheapest honest uncertainty there is: the model
runs again, the picture is not encoded again. Prompts are made from one or more *source boxes*: the
fused box, or the boxes that raters drew. They stray as far as the annotators did, or as the boxes
that the model was trained with; two published ways are there to compare with.

By the law ``spread`` each edge moves normally, with the standard deviation between raters. By
``sam`` it moves uniformly, by up to a tenth of its side and 20 px of 1024 [1]_; by ``medsam``
outwards only, uniformly, by up to 20 px of 1024 [2]_; by ``sam-u`` 25 px outwards, and by whole px
uniformly up to 1/32 of the picture's side [3]_; by ``fnpc`` with the box, whose centre moves in a
disc of 1/8 of its shorter side [4]_.

Displacements are stratified (a Latin hypercube [5]_): over all prompts of an object, each edge
visits every part of its range once, so that few prompts tell as much as many independent ones.

References
----------
.. [1] A. Kirillov et al., "Segment Anything", ICCV 2023, appendix A.
   :doi:`10.1109/ICCV51070.2023.00371`
.. [2] J. Ma et al., "Segment anything in medical images", Nature Communications 15, 2024; noise as
   in its training script. :doi:`10.1038/s41467-024-44824-z`
.. [3] G. Deng et al., "SAM-U: multi-box prompts triggered uncertainty estimation for reliable SAM
   in medical image", MICCAI workshops 2023; margin and noise as in its script of July 2023,
   whose box without noise keeps the margin. :arxiv:`2307.04973`
.. [4] X. Yao et al., "False negative/positive control for SAM on noisy medical images", SPIE
   Medical Imaging 2024; M = 8 as in its code. :arxiv:`2308.10382`
.. [5] M. D. McKay, R. J. Beckman, W. J. Conover, "A comparison of three methods for selecting
   values of input variables in the analysis of output from a computer code", Technometrics
   21(2), 1979. :doi:`10.1080/00401706.1979.10489755`
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from crowdqc.arrays import Floats
from crowdqc.geometry import Boxes, as_boxes
from samgen.predictor import Prompts
from samgen.settings import Noise, PromptSettings

Shape = tuple[int, int]

SAM_SHARE, TRAINING_PX = 0.1, 20.0
"""Noise of training boxes, as a share of the side and in px of a side of 1024 px."""
SAM_U_MARGIN_PX, SAM_U_SHARE = 25.0, 1 / 32
"""SAM-U: margin in px of the picture, and noise as a share of its side."""
FNPC_SHARE = 1 / 8
"""FNPC-SAM: radius of the disc as a share of the box's shorter side."""
EDGE_LIMIT = 0.4
"""No edge moves inwards by more than this share of its side, and by the spread between raters
not outwards either: below 0.5, boxes stay boxes."""
_INWARDS = np.array([1.0, 1.0, -1.0, -1.0])


def prompt_rng(seed: int, *, case: str, slice: int, label: str) -> np.random.Generator:
    """Generator for the prompts of one object: the same in whichever order work is done.

    Parameters
    ----------
    seed : int
        Of the study.
    case : str
        Of the object.
    slice : int
        Of the object.
    label : str
        Of the object.

    Examples
    --------
    >>> a = prompt_rng(0, case="0001", slice=7, label="liver")
    >>> b = prompt_rng(0, case="0001", slice=7, label="liver")
    >>> bool(a.random() == b.random())
    True
    """
    key = f"{seed}\x1f{case}\x1f{slice}\x1f{label}".encode()
    digest = hashlib.blake2b(key, digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))


def make_prompts(
    box: ArrayLike,
    *,
    raters: ArrayLike = (),
    spread: ArrayLike | None = None,
    shape: Shape,
    rng: np.random.Generator,
    settings: PromptSettings,
    noise: Noise = "sam",
) -> Prompts:
    """Boxes to prompt a model with, for one object.

    Parameters
    ----------
    box : array_like, shape (4,)
        The fused box, ``x0, y0, x1, y1`` in px.
    raters : array_like, shape (R, 4)
        Boxes that raters drew of the object, in an order that does not depend on how the work
        is done.
    spread : array_like, shape (4,), optional
        Standard deviation of each edge of the fused box in px, nan where it is not known.
    shape : tuple of int
        Rows and columns of the picture.
    rng : Generator
        See `prompt_rng`.
    settings : PromptSettings
        Number of boxes, source boxes, jitter.
    noise : {"sam", "medsam", "sam-u", "fnpc"}
        The law of the model's own training.

    Returns
    -------
    Prompts
        ``n_prompts`` boxes, as many of each source as of any other, give or take one; the fused
        box comes first. Of each source the first is the box itself (with the margin of
        ``sam-u``). Where there are more sources than prompts, some are drawn at random; one rater
        alone adds nothing to the fused box. All are cut off at the border of the picture.

    Raises
    ------
    ValueError
        If a box is no box or has no part within the picture, or a spread is negative.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> five = PromptSettings(n_prompts=5, prompt_boxes="both")
    >>> raters = [[10, 20, 31, 60], [9, 21, 30, 60]]
    >>> made = make_prompts([10, 20, 30, 60], raters=raters, shape=(99, 99), rng=rng, settings=five)
    >>> made.sizes, made.boxes[[0, 2, 4]].tolist() == [[10, 20, 30, 60], *raters]
    ((2, 2, 1), True)
    """
    fused = _within(as_boxes("box", np.asarray(box)[None]), shape)
    drawn = _within(as_boxes("raters", np.reshape(np.asarray(raters, np.float64), (-1, 4))), shape)
    n = settings.n_prompts
    if settings.prompt_boxes == "fused" or len(drawn) < 2:
        drawn = drawn[:0]
    with_fused = settings.prompt_boxes != "raters" or not len(drawn)
    sources = np.vstack([fused[:with_fused], _sample(drawn, n - with_fused, rng=rng)])
    sizes = [n // len(sources) + (k < n % len(sources)) for k in range(len(sources))]
    sigma = np.full_like(sources, np.nan)
    if with_fused and settings.jitter == "spread":
        sigma[0] = _spread(spread)
    moved = _moves(sources, sizes, sigma=sigma, shape=shape, rng=rng, law=_law(settings, noise))
    boxes = np.repeat(sources, sizes, axis=0)
    inwards = np.minimum(moved * _INWARDS, EDGE_LIMIT * _sides(boxes))
    return Prompts(fused[0], _within(boxes + inwards * _INWARDS, shape), tuple(sizes))


def _sample(boxes: Boxes, n: int, *, rng: np.random.Generator) -> Boxes:
    """At most n of some boxes, in their order."""
    if len(boxes) <= n:
        return boxes
    return boxes[np.sort(rng.choice(len(boxes), size=n, replace=False))]


@dataclass(frozen=True, kw_only=True)
class _Law:
    """How far edges move: everywhere, and at a share in (0, 1) of each edge's range."""

    noise: Callable[[Floats, Floats, Shape], Floats]
    """Of shares (N, 4), sides of boxes (N, 4) and the picture's shape; outcome (N, 4) in px."""
    margin_px: float = 0.0


def _moves(
    sources: Boxes,
    sizes: list[int],
    *,
    sigma: Floats,
    shape: Shape,
    rng: np.random.Generator,
    law: _Law,
) -> Floats:
    """Displacements (K, 4) of all prompts; of each source the first keeps its place."""
    owner = np.repeat(np.arange(len(sources)), sizes)
    strays = np.append(False, owner[1:] == owner[:-1])
    share = _stratified(int(strays.sum()), rng=rng)
    side, own = _sides(sources)[owner[strays]], sigma[owner[strays]]
    by_spread = np.clip(ndtri(share) * own, -EDGE_LIMIT * side, EDGE_LIMIT * side)
    moved = np.zeros((len(owner), 4))
    moved[strays] = np.where(np.isnan(own), law.noise(share, side, shape), by_spread)
    return moved - law.margin_px * _INWARDS


def _law(settings: PromptSettings, noise: Noise) -> _Law:
    return LAWS[noise if settings.jitter in {"spread", "training"} else settings.jitter]


def _sam(share: Floats, side: Floats, shape: Shape) -> Floats:
    return (2 * share - 1) * np.minimum(SAM_SHARE * side, TRAINING_PX * max(shape) / 1024)


def _medsam(share: Floats, side: Floats, shape: Shape) -> Floats:  # noqa: ARG001
    # MedSAM stretches pictures to a square, so that its px differ in x and y.
    return -share * TRAINING_PX * np.tile(shape[::-1], 2) / 1024 * _INWARDS


def _sam_u(share: Floats, side: Floats, shape: Shape) -> Floats:  # noqa: ARG001
    most = np.floor(SAM_U_SHARE * np.tile(shape[::-1], 2))
    whole: Floats = np.floor(share * (2 * most + 1)) - most
    return whole


def _fnpc(share: Floats, side: Floats, shape: Shape) -> Floats:  # noqa: ARG001
    radius = FNPC_SHARE * side.min(axis=1) * np.sqrt(share[:, 0])
    angle = 2 * np.pi * share[:, 1]
    return np.tile(np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]), 2)


LAWS: dict[str, _Law] = {
    "sam": _Law(noise=_sam),
    "medsam": _Law(noise=_medsam),
    "sam-u": _Law(noise=_sam_u, margin_px=SAM_U_MARGIN_PX),
    "fnpc": _Law(noise=_fnpc),
}


def _sides(boxes: Boxes) -> Floats:
    """Length in px of the side that each edge bounds, (N, 4)."""
    return np.tile(boxes[:, 2:] - boxes[:, :2], 2)


def _spread(spread: ArrayLike | None) -> Floats:
    sigma = np.full(4, np.nan) if spread is None else np.asarray(spread, dtype=np.float64)
    if sigma.shape != (4,) or (sigma < 0).any():
        raise ValueError(f"'spread' must be four numbers from 0; got {sigma.tolist()}.")
    return sigma


def _stratified(n: int, *, rng: np.random.Generator) -> Floats:
    """Shares in (0, 1), (n, 4): in every column one in each n-th part, in random order."""
    part = rng.permuted(np.tile(np.arange(n)[:, None], (1, 4)), axis=0)
    return (part + rng.uniform(0.01, 0.99, size=(n, 4))) / max(n, 1)


def _within(boxes: Boxes, shape: Shape) -> Boxes:
    rows, columns = shape
    inside = np.clip(boxes, 0, [columns, rows, columns, rows])
    bad = (inside[:, 2:] <= inside[:, :2]).any(axis=1)
    if bad.any():
        raise ValueError(
            f"'box' must lie within the picture of {rows} rows and {columns} columns; "
            f"got {boxes[bad.argmax()].tolist()}."
        )
    return inside
