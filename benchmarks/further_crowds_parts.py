"""What the further crowds are put together from; needs the folder of the checks on the path."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from scenarios import BAD, EDGES, GOOD, Crowd, Hand, crowd, names, organs, with_edges

SOME = ("c02", "c04", "c06")  # three of the eight cases, where only some are wrong


@dataclass(frozen=True)
class Right:
    """What a right judgement is, beyond "all bad raters are named, and no good one".

    `faults` holds, of a rater, the faults of which one at least should be named; `may` the raters
    of whom something may be said, but who should not be rejected; `never` faults that nobody has.
    """

    faults: dict[str, set[str]] = field(default_factory=dict)
    may: frozenset[str] = frozenset()
    never: frozenset[str] = frozenset()


def right(*, faults=None, may="", never=""):
    """Decorate a crowd with its right judgement; names with spaces between, as in `crowd`."""
    known = {rater: set(some.split()) for rater, some in (faults or {}).items()}

    def keep(make):
        make.right = Right(known, frozenset(may.split()), frozenset(never.split()))
        return make

    return keep


def good(rng, n=5, *, bad="", **options) -> Crowd:
    """So many good raters; those of `bad` are about to be spoilt."""
    return crowd(rng, organs(rng, **options), dict.fromkeys(names(n), GOOD), bad=bad)


def uneven(rng, hands, *, bad="") -> Crowd:
    """Raters with these hands on the usual organs."""
    return crowd(rng, organs(rng), hands, bad=bad)


def spoilt(
    made: Crowd, rater: str, change: Callable[[pd.DataFrame], pd.DataFrame], *, cases=None
) -> Crowd:
    """The crowd with a rater whose boxes of some cases (none given: all) went through `change`."""
    boxes = made.boxes[rater]
    here = boxes["case"].isin(cases) if cases else np.ones(len(boxes), bool)
    mine = pd.concat([boxes[~here], change(boxes[here])], ignore_index=True)
    return replace(made, boxes=made.boxes | {rater: mine})


def copied(rng, made: Crowd, rater: str, *, of: str, px=0.4, cases=None) -> Crowd:
    """The crowd whose `rater` took the boxes of another in some cases, each edge moved a little."""
    theirs = nudged(rng, made.boxes[of], px)
    if cases is None:
        reads = made.reads | {rater: made.reads[of]}
        return replace(made, boxes=made.boxes | {rater: theirs}, reads=reads)
    theirs = theirs[theirs["case"].isin(cases)]
    return spoilt(made, rater, lambda _: theirs, cases=cases)


def nudged(rng, boxes: pd.DataFrame, px: float) -> pd.DataFrame:
    """The boxes with each edge moved by `px` (standard deviation)."""
    return moved(boxes, px * rng.standard_normal((len(boxes), 4)))


def moved(boxes: pd.DataFrame, by) -> pd.DataFrame:
    """The boxes with their edges moved, px."""
    return with_edges(boxes, boxes[EDGES].to_numpy(float) + by)


def relabelled(boxes: pd.DataFrame, new: dict[str, str]) -> pd.DataFrame:
    """The boxes with other labels."""
    return boxes.assign(label=boxes["label"].replace(new))


def at_ends(boxes: pd.DataFrame, n: int) -> np.ndarray:
    """Whether a box is one of the first or last `n` of its organ in its case."""
    rank = boxes.groupby(["case", "label"])["slice"].rank(method="first")
    length = boxes.groupby(["case", "label"])["slice"].transform("size")
    return ((rank <= n) | (rank > length - n)).to_numpy()


def some_bad(n: int, *, every: int) -> tuple[dict[str, Hand], str]:
    """Hands of `n` raters, of whom every so many is bad; and the names of these."""
    fair = Hand(sd=0.03, px=1, miss=0.04)
    hands = {r: BAD if i % every == 0 else fair for i, r in enumerate(names(n))}
    return hands, " ".join(r for r in hands if hands[r] is BAD)
