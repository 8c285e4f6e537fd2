"""Which decisions count, what they settle, and where two reviewers differ."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable
from typing import Any

import numpy as np
import pandas as pd

from crowdqc.arrays import Bools, Floats
from crowdqc.decisions.rows import GRADES, REAL, UNREAL
from crowdqc.geometry import paired_iou, pairwise_iou
from crowdqc.schema import BOX, PLACE, SPREAD

SAME = 0.3
"""IoU with an object from which a box without a number is a box of it."""
AGREED = 0.5
"""IoU from which two reviewers' boxes agree."""
SETTLED, CONFLICT, CHANGED = "settled", "conflict", "changed"
"""State of an object: decided; decided in two ways; decided on boxes or a mask of before."""
BOX_COLUMNS = [*PLACE, "object", "real", *BOX, *SPREAD, "state", "decision", "reviewers", "time"]
GRADE_COLUMNS = [*PLACE, "object", "grade", *BOX, "state", "reviewers", "time"]
MASK_COLUMNS = [*PLACE, "grade", "dice", "state", "reviewers", "time"]

Hash = Callable[[tuple[str, int, str]], str]
"""Case, slice and label -> hash of what there is to decide on now."""


def standing(decisions: pd.DataFrame) -> pd.DataFrame:
    """The decisions that count: without those taken back, and of a number or a mask the last.

    Parameters
    ----------
    decisions : DataFrame
        As from `read_decisions`, in the order in which they were taken.

    Returns
    -------
    DataFrame
        Some rows of it, in their order; a `skip` among them is the reviewer's last word.
    """
    stacks: dict[Hashable, list[int]] = {}
    keys = decisions[["unit", *PLACE, "object", "reviewer"]].fillna({"object": -1})
    for row, (*key, decision) in enumerate(
        zip(*(keys[name] for name in keys), decisions["decision"], strict=True)
    ):
        stack = stacks.setdefault(tuple(key), [])
        if decision != "undo":
            stack.append(row)
        elif stack:
            stack.pop()
    # Boxes without a number may be of several objects: which, only the boxes themselves can tell.
    several = ((keys["object"] < 0) & (keys["unit"] == "box")).to_numpy()
    kept = [row for stack in stacks.values() for row in stack if several[row] or row == stack[-1]]
    return decisions.iloc[sorted(kept)]


def _numbered(
    decisions: pd.DataFrame, objects: pd.DataFrame, kinds: Collection[str] = (*REAL, *UNREAL)
) -> pd.DataFrame:
    """The decisions on boxes that count, each with the number of its object.

    Parameters
    ----------
    decisions, objects : DataFrame
        As of `settled_boxes`.
    kinds : collection of str
        Which decisions are asked for.

    Returns
    -------
    DataFrame
        The last row of each reviewer on each object; a decision on all objects of a place has a
        row for each. Objects that nobody drew have numbers beyond those that there are.
    """
    counting = standing(decisions)
    counting = counting[counting["decision"].isin(kinds) & (counting["unit"] == "box")]
    boxes = _boxes_at(objects, counting)
    rows, numbers = [], []
    for place, group in counting.groupby(PLACE, sort=False):
        every = list(boxes.get(place, ()))
        for row in group.itertuples():
            found = _numbers(row, every)
            numbers += found
            rows += [row.Index] * len(found)
    table = counting.loc[rows].assign(object=np.array(numbers, dtype=np.int64))
    return table.drop_duplicates([*PLACE, "object", "reviewer"], keep="last")


def settled_boxes(decisions: pd.DataFrame, objects: pd.DataFrame, hash_of: Hash) -> pd.DataFrame:
    """What reviewers decided of each object.

    Parameters
    ----------
    decisions : DataFrame
        As from `read_decisions`.
    objects : DataFrame
        ``case, slice, label, x0, y0, x1, y1`` of all fused objects. The number of an object is its
        place among the rows of its case, slice and label.
    hash_of : callable
        As `box_inputs`.

    Returns
    -------
    DataFrame
        ``case, slice, label, object, real`` (whether there is such an object), its box (of one that
        is not real nan, where no box was given), the ``spread_x0 .. spread_y1`` of the reviewers (0
        of one), ``state`` (`SETTLED`, `CONFLICT` where they differ, `CHANGED` where nobody decided
        on the boxes as they are now), ``decision``, ``reviewers`` (names with ", " between) and
        ``time`` of the last. An object that nobody drew has a number beyond those that there are.
    """
    votes = _numbered(decisions, objects)
    now = {place: hash_of(place) for place in set(votes[PLACE].itertuples(index=False, name=None))}
    keys = zip(votes["case"], votes["slice"], votes["label"], votes["inputs"], strict=True)
    fresh = pd.Series([key[3] in {"", now[key[:3]]} for key in keys], votes.index, dtype=bool)
    rows = []
    for key, group in votes.assign(fresh=fresh.to_numpy()).groupby([*PLACE, "object"], sort=False):
        counted = group[group["fresh"]]
        row = _settled(counted if len(counted) else group)
        state = row["state"] if len(counted) else CHANGED
        rows.append({**dict(zip([*PLACE, "object"], key, strict=True)), **row, "state": state})
    table = pd.DataFrame(rows, columns=BOX_COLUMNS)
    return table.astype({"real": bool, "object": np.int64, "slice": np.int64})


def graded_boxes(decisions: pd.DataFrame, objects: pd.DataFrame, hash_of: Hash) -> pd.DataFrame:
    """How reviewers graded fused boxes that they neither drew anew nor took out.

    Parameters
    ----------
    decisions, objects : DataFrame
        As of `settled_boxes`.
    hash_of : callable
        As `box_inputs`.

    Returns
    -------
    DataFrame
        ``case, slice, label, object``; ``grade``, the worst that a reviewer gave; ``x0 .. y1``, the
        box that was shown then (nan: not said); ``state`` (`CHANGED` where raters have drawn anew
        since), ``reviewers`` and ``time``.
    """
    votes = _numbered(decisions, objects, ["grade"])
    rows: list[dict[str, Any]] = []
    for key, group in votes.groupby([*PLACE, "object"], sort=False):
        fresh = group[group["inputs"].isin(["", hash_of(key[:3])])]
        used = fresh if len(fresh) else group
        worst = used.iloc[int(np.argmax(used["grade"].map(GRADES.index)))]
        row = {**dict(zip([*PLACE, "object"], key, strict=True)), **worst[["grade", *BOX]]}
        state = CONFLICT if len(set(used["grade"])) > 1 else SETTLED
        rows.append({**row, **_who(used), "state": state if len(fresh) else CHANGED})
    table = pd.DataFrame(rows, columns=GRADE_COLUMNS)
    return table.astype({"object": np.int64, "slice": np.int64} | dict.fromkeys(BOX, np.float64))


def settled_masks(decisions: pd.DataFrame, hash_of: Hash) -> pd.DataFrame:
    """What reviewers decided of each mask.

    Parameters
    ----------
    decisions : DataFrame
        As from `read_decisions`.
    hash_of : callable
        As `mask_inputs`.

    Returns
    -------
    DataFrame
        ``case, slice, label``; ``grade``, the worst that a reviewer gave; ``dice``, the mean of
        those measured; ``state``, ``reviewers`` and ``time`` as of `settled_boxes`.
    """
    counting = standing(decisions)
    counting = counting[(counting["decision"] == "grade") & (counting["unit"] == "mask")]
    rows: list[dict[str, Any]] = []
    for place, group in counting.groupby(PLACE, sort=False):
        fresh = group[group["inputs"].isin(["", hash_of(place)])]
        used = fresh if len(fresh) else group
        grade = max(used["grade"], key=GRADES.index)
        state = CONFLICT if len(set(used["grade"])) > 1 else SETTLED
        row = {**dict(zip(PLACE, place, strict=True)), "grade": grade, "dice": used["dice"].mean()}
        rows.append({**row, **_who(used), "state": state if len(fresh) else CHANGED})
    return pd.DataFrame(rows, columns=MASK_COLUMNS).astype({"slice": np.int64})


def reviewer_agreement(decisions: pd.DataFrame, objects: pd.DataFrame) -> pd.DataFrame:
    """How far reviewers who decided on the same agree.

    Parameters
    ----------
    decisions, objects : DataFrame
        As of `settled_boxes`.

    Returns
    -------
    DataFrame
        A row for each two reviewers and unit: ``unit, reviewer, other, n`` (decided by both),
        ``agreed`` (share: both real and an IoU of `AGREED`, both not real; the same grade) and
        ``iou`` (mean, of boxes that both call real).
    """
    masks = standing(decisions)
    masks = masks[(masks["unit"] == "mask") & (masks["decision"] == "grade")].assign(object=-1)
    kinds = [_numbered(decisions, objects), _numbered(decisions, objects, ["grade"]), masks]
    every = pd.concat([kind.assign(kind=k > 0) for k, kind in enumerate(kinds)])
    both = every.merge(every, on=["unit", *PLACE, "object", "kind"], suffixes=("", "_other"))
    both = both[both["reviewer"] < both["reviewer_other"]]
    rows = []
    for key, pair in both.groupby(["unit", "reviewer", "reviewer_other"], sort=True):
        same, iou = _same(pair)
        mean = iou.mean() if len(iou) else math.nan
        rows.append((*key, len(pair), same.mean(), mean))
    return pd.DataFrame(rows, columns=["unit", "reviewer", "other", "n", "agreed", "iou"])


def _same(pair: pd.DataFrame) -> tuple[Bools, Floats]:
    """Whether two reviewers agree, row by row, and the IoU where both give a box."""
    graded = (pair["decision"] == "grade").to_numpy()
    real, other = (pair[name].isin(REAL).to_numpy() for name in ("decision", "decision_other"))
    two = real & other
    iou = paired_iou(*(pair.loc[two, [edge + end for edge in BOX]] for end in ("", "_other")))
    same = np.where(graded, pair["grade"] == pair["grade_other"], ~real & ~other)
    same[two] = iou >= AGREED
    return same, iou


def _boxes_at(objects: pd.DataFrame, wanted: pd.DataFrame) -> dict[Any, Floats]:
    """Boxes of the objects at each place that has a decision, in their order."""
    near = objects[[*PLACE, *BOX]].merge(wanted[PLACE].drop_duplicates(), on=PLACE)
    return {place: group[BOX].to_numpy() for place, group in near.groupby(PLACE, sort=False)}


def _numbers(row: Any, every: list[Floats]) -> list[int]:
    """Numbers of the objects that a row is about; one that nobody drew is added to `every`."""
    box = np.array([row.x0, row.y0, row.x1, row.y1])
    if not math.isnan(row.object):
        return [int(row.object)]
    if math.isnan(box[0]):
        return list(range(len(every)))
    overlap = [float(pairwise_iou(one[None], box[None])[0, 0]) for one in every]
    if overlap and max(overlap) >= SAME:
        return [int(np.argmax(overlap))]
    if row.decision in UNREAL:
        return []
    every.append(box)
    return [len(every) - 1]


def _settled(votes: pd.DataFrame) -> dict[str, Any]:
    """What the reviewers' rows on one object come to."""
    real = votes["decision"].isin(REAL).to_numpy()
    boxes = votes.loc[real if real.any() else ~real, BOX].dropna().to_numpy()
    box = boxes.mean(axis=0) if len(boxes) else np.full(4, np.nan)
    spread = np.zeros(4)
    if len(boxes) > 1 and real.any():
        spread = boxes.std(axis=0) / math.sqrt(len(boxes) - 1)
    apart = real.any() and (not real.all() or pairwise_iou(boxes, boxes).min() < AGREED)
    return {
        "real": bool(real.any()),
        **dict(zip(BOX, box, strict=True)),
        **dict(zip(SPREAD, spread, strict=True)),
        "state": CONFLICT if apart else SETTLED,
        "decision": votes["decision"].iloc[-1],
        **_who(votes),
    }


def _who(rows: pd.DataFrame) -> dict[str, Any]:
    return {"reviewers": ", ".join(dict.fromkeys(rows["reviewer"])), "time": rows["time"].max()}
