"""A study drawn by raters with known faults, and its boxes as files."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdqc.config import Simulate
from crowdqc.schema import BOX, ReadingState, Study
from crowdqc.simulate.boxes import Model, label_boxes
from crowdqc.simulate.faults import Drawing, draw


def simulate_study(
    truths: Iterable[tuple[str, NDArray[np.integer]]],
    *,
    name: str,
    labels: Mapping[str, int],
    simulate: Simulate,
    seed: int,
) -> Study:
    """Let raters with known faults draw the boxes of true masks.

    Every rater reads every slice that it does not skip. An object that it misses on a slice
    leaves the reading; a slice that it skips has none.

    Parameters
    ----------
    truths : iterable of (str, ndarray of int)
        Case and its label values, shape (P, R, C): planes, rows, columns of the pictures that
        are annotated. Taken one by one, so a generator need not hold them all.
    name : str
        Name of the study.
    labels : mapping of str to int
        Label and its value in the masks.
    simulate : Simulate
        The raters and how true boxes are made.
    seed : int
        What a rater draws on a case depends on the seed, the rater and the case alone.

    Returns
    -------
    Study
        Slices, readings and boxes.
    """
    names = tuple(labels)
    images, readings, boxes = [], [], []
    hands = _deal_raters(
        list(simulate.raters), simulate.raters_per_case, rng=np.random.default_rng(seed)
    )
    for (case, stack), hand in zip(truths, hands, strict=False):
        true = true_drawing(stack, labels, model=simulate.model)
        images.append(_image_rows(case, stack))
        for rater in hand:
            faults = simulate.raters[rater]
            stream = [seed, zlib.crc32(rater.encode()), zlib.crc32(case.encode())]
            rng = np.random.default_rng(stream)
            drawn = draw(true, faults, names=names, size=stack.shape[1:], rng=rng)
            readings.append(_reading_rows(case, rater, drawn))
            boxes.append(_box_rows(case, rater, drawn, names=names))
    table = pd.concat(boxes, ignore_index=True).rename_axis("box").reset_index()
    return Study(
        name=name,
        labels=names,
        images=pd.concat(images),
        readings=pd.concat(readings),
        boxes=table,
        single=frozenset(names) if simulate.model == "tight" else frozenset(),
    )


def _deal_raters(
    raters: Sequence[str], per_case: int | None, *, rng: np.random.Generator
) -> Iterator[list[str]]:
    """Who draws the first case, the second, and so on without end.

    Parameters
    ----------
    raters : sequence of str
        All raters.
    per_case : int, optional
        How many draw a case; all, if not given or more than there are.
    rng : Generator
        Decides between raters who have drawn equally often.

    Yields
    ------
    list of str
        In the order of `raters`; no rater is ever more than one case ahead of another.

    Examples
    --------
    >>> hands = _deal_raters(["a", "b", "c"], 2, rng=np.random.default_rng(0))
    >>> next(hands), next(hands), next(hands)
    (['b', 'c'], ['a', 'b'], ['a', 'c'])
    """
    drawn = np.zeros(len(raters), dtype=np.int64)
    while True:
        order = np.lexsort((rng.random(len(raters)), drawn))
        hand = np.sort(order[:per_case])
        drawn[hand] += 1
        yield [raters[i] for i in hand]


def true_drawing(
    stack: NDArray[np.integer], labels: Mapping[str, int], *, model: Model = "tight"
) -> Drawing:
    """True boxes of every label of a case, as if everything had been read.

    Parameters
    ----------
    stack : ndarray of int, shape (P, R, C)
        Label values.
    labels : mapping of str to int
        Label and its value.
    model : {"tight", "paper"}
        How a box is made of a mask.

    Returns
    -------
    Drawing
        Ordered by label, then by plane.
    """
    found = [label_boxes(stack, value, model=model) for value in labels.values()]
    counts = [len(planes) for planes, _ in found]
    return Drawing(
        planes=np.concatenate([planes for planes, _ in found]),
        labels=np.repeat(np.arange(len(found)), counts),
        boxes=np.concatenate([boxes for _, boxes in found]),
        read=np.ones(len(stack), dtype=bool),
    )


def _image_rows(case: str, stack: NDArray[np.integer]) -> pd.DataFrame:
    planes, rows, columns = stack.shape
    return pd.DataFrame(
        {"case": case, "slice": np.arange(planes), "height": rows, "width": columns}
    )


def _reading_rows(case: str, rater: str, drawn: Drawing) -> pd.DataFrame:
    planes = np.flatnonzero(drawn.read)
    boxed = np.isin(planes, drawn.planes)
    state = np.where(boxed, ReadingState.BOXED.value, ReadingState.REVIEWED_EMPTY.value)
    return pd.DataFrame({"case": case, "slice": planes, "rater": rater, "state": state})


def _box_rows(case: str, rater: str, drawn: Drawing, *, names: tuple[str, ...]) -> pd.DataFrame:
    corners = dict(zip(BOX, drawn.boxes.T, strict=True))
    labels = np.array(names, dtype=object)[drawn.labels]
    return pd.DataFrame(
        {"case": case, "slice": drawn.planes, "rater": rater, "label": labels, **corners}
    )
