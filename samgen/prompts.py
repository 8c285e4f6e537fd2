"""From one box and its spread to several boxes to prompt a model with.

How much a mask changes when its box does is the cheapest honest uncertainty there is: the model
runs again, the picture is not encoded again. The boxes stray as far as the annotators did, or,
where nobody measured that, as far as the boxes that SAM was trained with [1]_.

Displacements are stratified (a Latin hypercube [2]_): each edge visits every part of its range
once, so that few prompts tell as much as many independent ones.

References
----------
.. [1] A. Kirillov et al., "Segment Anything", ICCV 2023, appendix A: noise of a tenth of the
   side, at most 20 px. :doi:`10.1109/ICCV51070.2023.00371`
.. [2] M. D. McKay, R. J. Beckman, W. J. Conover, "A comparison of three methods for selecting
   values of input variables in the analysis of output from a computer code", Technometrics
   21(2), 1979. :doi:`10.1080/00401706.1979.10489755`
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from crowdqc.geometry import Boxes, as_boxes
from samgen.settings import PromptSettings


def prompt_rng(seed: int, *, case: str, slice: int, label: str) -> np.random.Generator:
    """Generator for the prompts of one object: the same in whichever order work is done.

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


def prompt_boxes(
    box: ArrayLike,
    *,
    spread: ArrayLike | None,
    shape: tuple[int, int],
    rng: np.random.Generator,
    settings: PromptSettings,
) -> Boxes:
    """Boxes to prompt a model with, for one object.

    Parameters
    ----------
    box : array_like, shape (4,)
        ``x0, y0, x1, y1`` in px.
    spread : array_like, shape (4,), optional
        Standard deviation of each edge in px: displacements are normal. An edge whose spread
        is nan moves uniformly by the training noise of SAM instead.
    shape : tuple of int
        Rows and columns of the picture.
    rng : Generator
        See `prompt_rng`.
    settings : PromptSettings
        Number of boxes, and the noise.

    Returns
    -------
    boxes : ndarray, shape (n_prompts, 4)
        The first is `box`. All are cut off at the border of the picture, and no edge moves
        further than `PromptSettings.edge_limit_share` of its side.

    Raises
    ------
    ValueError
        If `box` is no box, has no part within the picture, or a spread is negative.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> three = PromptSettings(n_prompts=3)
    >>> boxes = prompt_boxes([10, 20, 30, 60], spread=None, shape=(99, 99), rng=rng, settings=three)
    >>> boxes[0].tolist(), boxes.shape
    ([10.0, 20.0, 30.0, 60.0], (3, 4))
    """
    raw = _within(as_boxes("box", np.asarray(box)[None]), shape)
    side = np.tile(raw[0, 2:] - raw[0, :2], 2)
    half_range = np.minimum(
        settings.noise_share * side, settings.noise_limit_px * max(shape) / 1024
    )
    sigma = _spread(spread)
    share = _stratified(settings.n_prompts - 1, rng=rng)
    moved = np.where(np.isnan(sigma), (2 * share - 1) * half_range, ndtri(share) * sigma)
    limit = settings.edge_limit_share * side
    return _within(np.vstack([raw, raw + np.clip(moved, -limit, limit)]), shape)


def _spread(spread: ArrayLike | None) -> NDArray[np.float64]:
    sigma = np.full(4, np.nan) if spread is None else np.asarray(spread, dtype=np.float64)
    if sigma.shape != (4,) or (sigma < 0).any():
        raise ValueError(f"'spread' must be four numbers from 0; got {sigma.tolist()}.")
    return sigma


def _stratified(n: int, *, rng: np.random.Generator) -> NDArray[np.float64]:
    """Shares in (0, 1), (n, 4): in every column one in each n-th part, in random order."""
    part = rng.permuted(np.tile(np.arange(n)[:, None], (1, 4)), axis=0)
    return (part + rng.uniform(0.01, 0.99, size=(n, 4))) / max(n, 1)


def _within(boxes: Boxes, shape: tuple[int, int]) -> Boxes:
    rows, columns = shape
    inside = np.clip(boxes, 0, [columns, rows, columns, rows])
    if (inside[:, 2:] <= inside[:, :2]).any():
        raise ValueError(
            f"'box' must lie within the picture of {rows} rows and {columns} columns; "
            f"got {boxes[0].tolist()}."
        )
    return inside
