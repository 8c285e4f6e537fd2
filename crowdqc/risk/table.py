"""The risk of every mask of a study, with the signals that it is made of.

The training-free risk is one minus the Dice coefficient that may be expected of a mask,
``risk = 1 - present * usual * support``:

- `support` is the mean vote of other versions of the mask (`crowdqc.risk.votes`): the other
  models on this slice, all models on the slices beside it, nothing beyond the ends of the run,
  the ellipse in the prompt box, and the other prompts of the same model, a second model on the
  same prompts, and what the model carries there from the slices beside it, where they were tried;
- `present` is the probability that the organ is on the slice at all. The share of the other
  cases in which it reaches that height (`crowdqc.completeness.extent`) is the prior, and the box
  of a rater is evidence that counts `LIKELIHOOD` to one;
- `usual` is less than 1 where the place of the box, the grey value under the mask, or how much of
  the middle of the box it fills is an outlier among the other cases (`crowdqc.risk.outliers`).

No number here was fitted to scores. The width of the neighbourhood is a slice or two of usual
thickness; the ends' spread is estimated from the boxes, and is no less than that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from crowdqc.arrays import Floats
from crowdqc.completeness.extent import presence, reference_ends, spread_of_ends
from crowdqc.geometry import Boxes, known_iou
from crowdqc.risk.outliers import (
    LEAST_GREY,
    LEAST_SHARE,
    place_distances,
    usual,
    value_distances,
)
from crowdqc.risk.runs import MaskSet, Pictures, Run, runs_of
from crowdqc.risk.votes import (
    DiceVotes,
    beyond,
    filled_share,
    mask_boxes,
    neighbours,
    paired_dice,
    same_slice,
    sum_votes,
)
from crowdqc.schema import PLACE

WIDTH_MM = 5.0
"""Width of the neighbourhood: abdominal CT slices are 1 to 5 mm thick, and organs change over
centimetres."""
SPACING_MM = 3.0
"""Distance of slices where it is not known."""
LIKELIHOOD = 4.0
"""How much likelier a rater draws a box where the organ is than where it is not, near its ends.
On the crowd study's masks (``benchmarks/risk.py``) the area under the ROC curve is 0.957 with it,
0.957 with 2, 0.954 with 8 and 0.953 with 1; the mean squared error of the risk, as 1 - Dice, is
0.053, and 0.135 with 1."""
PROMPT_VOTES = ("pairwise_dice", "model_dice", "propagation_dice")
"""Columns of the table ``masks`` that vote for a mask."""
SIGNALS = [
    "agreement",
    "z_dice",
    "end_mm",
    "box_iou",
    "box_fill",
    "box_z_iou",
    "area_mm2",
    "extent",
    "place",
    "grey",
    "core_fill",
    "support",
]
COLUMNS = ["case", "slice", "label", "risk", *SIGNALS]


def assess_risk(
    boxes: pd.DataFrame,
    sets: Sequence[MaskSet],
    *,
    labels: Mapping[str, int],
    images: pd.DataFrame,
    prompts: pd.DataFrame | None = None,
    known: Mapping[str, pd.DataFrame] | None = None,
    pictures: Pictures | None = None,
) -> pd.DataFrame:
    """How likely each mask is wrong.

    Parameters
    ----------
    boxes : DataFrame
        ``case, slice, label, x0, y0, x1, y1``: the prompts.
    sets : sequence of callable
        Masks of one or more models, or of one model with other settings; the first is judged,
        the others say how far models differ.
    labels : mapping of str to int
        Label -> value in the masks.
    images : DataFrame
        Table ``images``: spacing in mm. Slices must run in the same direction in all cases.
    prompts : DataFrame, optional
        Table ``masks`` of the judged set, with ``pairwise_dice``, Dice between the masks from
        several prompts, ``model_dice``, Dice with the masks of a second model, or
        ``propagation_dice``, Dice with what the slices beside it predict.
    known : mapping of str to DataFrame, optional
        Case -> what `case_signals` found in it, which is not measured again.
    pictures : callable, optional
        The pictures that masks were drawn on, of cases that are not `known`.

    Returns
    -------
    DataFrame
        One row for each slice of a label with a box or a judged mask: ``case, slice, label``;
        `risk` in ``[0, 1]``; the signals, nan where they do not apply: `agreement` (mean Dice
        with the other sets, or where there are none with the second model of `prompts`),
        `z_dice` (mean Dice with the slices beside), `end_mm` (distance to the nearer end of the
        run), `box_iou` (of the box round the mask with the prompt), `box_fill` (area of the mask
        over that of the box), `box_z_iou` (mean IoU of the prompt with those beside it),
        `area_mm2`, `extent` (share of other cases in which the label reaches this height),
        `place` and `grey` (how far the box, and the grey value under the mask, are from those of
        the other cases, in robust standard deviations), `core_fill` (share of the middle of the
        prompt that the mask fills), `support` (mean vote).

    Raises
    ------
    ValueError
        If no set is given.
    """
    if not sets:
        raise ValueError("'sets' must hold at least one set of masks; got none.")
    known = known or {}
    parts = [
        known[case]
        if case in known
        else case_signals(case, boxes, sets, labels=labels, images=images, pictures=pictures)
        for case in boxes["case"].unique()
    ]
    parts = [part for part in parts if len(part)]
    if not parts:
        return pd.DataFrame({column: [] for column in COLUMNS}).astype({"case": str, "label": str})
    table = pd.concat(parts, ignore_index=True)
    spacing = _spacings(images)
    table["extent"] = _extents(table, boxes, spacing, labels=list(labels))
    table = table.merge(place_distances(boxes, spacing), on=PLACE, how="left")
    table["grey"] = value_distances(table, "grey", LEAST_GREY)
    if prompts is not None:
        table = _with_prompts(table, prompts)
    table["support"] = table["total"] / table["weight"]
    table["risk"] = _risk(table)
    return table[COLUMNS]


def case_signals(
    case: str,
    boxes: pd.DataFrame,
    sets: Sequence[MaskSet],
    *,
    labels: Mapping[str, int],
    images: pd.DataFrame,
    pictures: Pictures | None = None,
) -> pd.DataFrame:
    """What the masks of one case say, without those of others.

    Parameters
    ----------
    case : str
        The case.
    boxes, sets, labels, images, pictures : DataFrame, sequence of callable, mapping, DataFrame
        As for `assess_risk`.

    Returns
    -------
    DataFrame
        One row for each slice of a label with a box or a judged mask; empty where there is none.
    """
    spacing = _spacings(images[images["case"] == case])[case]
    parts = [
        _signals(run).assign(case=case, label=label)
        for label, run in runs_of(
            case, boxes, sets, labels=labels, spacing=spacing, pictures=pictures
        )
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _signals(run: Run) -> pd.DataFrame:
    """Signals and votes of each plane of a run."""
    judged, others = run.sets[0], run.sets[1:]
    thickness = run.spacing[2]
    heights = run.planes.astype(np.float64) * thickness
    beside = neighbours(judged, judged, heights, width=WIDTH_MM)
    outside = beyond(run.planes, depth=run.depth, spacing=thickness, width=WIDTH_MM)
    core = filled_share(judged, run.cores)
    votes = [same_slice(judged, run.filled), _nothing(outside, 1 + len(others)), beside]
    for other in others:
        votes += [same_slice(judged, other), neighbours(judged, other, heights, width=WIDTH_MM)]
    agreement = [paired_dice(judged, other) for other in others]
    area_px = np.count_nonzero(judged, axis=(1, 2))
    pixel = run.spacing[0] * run.spacing[1]
    size = np.prod(run.boxes[:, 2:] - run.boxes[:, :2], axis=1)
    together = sum_votes(votes)
    return pd.DataFrame(
        {
            "slice": run.planes,
            "agreement": np.mean(agreement, axis=0) if others else np.nan,
            "z_dice": beside.mean,
            "end_mm": np.minimum(heights - heights[0], heights[-1] - heights),
            "box_iou": known_iou(mask_boxes(judged), run.boxes),
            "box_fill": area_px / size,
            "box_z_iou": _beside(run.boxes),
            "area_mm2": area_px * pixel,
            "grey": run.grey,
            "core_fill": core,
            "height": heights,
            "total": np.where(area_px > 0, together.total, 0.0),
            "weight": np.where(area_px > 0, together.weight, 1.0),
        }
    )


def _nothing(weight: Floats, times: int) -> DiceVotes:
    """DiceVotes of slices where there is nothing, once for each set."""
    return DiceVotes(np.zeros(len(weight)), times * weight)


def _beside(boxes: Boxes) -> Floats:
    """Mean IoU of each box with the one before and the one after it."""
    step = known_iou(boxes[:-1], boxes[1:])
    both = np.stack([np.append(np.nan, step), np.append(step, np.nan)])
    known = np.isfinite(both).sum(axis=0)
    mean: Floats = np.nansum(both, axis=0) / np.where(known > 0, known, np.nan)
    return mean


def _extents(
    table: pd.DataFrame,
    boxes: pd.DataFrame,
    spacing: Mapping[str, tuple[float, float, float]],
    *,
    labels: list[str],
) -> Floats:
    """Share of the other cases in which the label reaches the height of each slice."""
    cases = list(spacing)
    thickness = boxes["case"].map({case: values[2] for case, values in spacing.items()})
    height = boxes["slice"] * thickness
    keys = [boxes["case"], boxes["label"]]
    ends = np.full((len(cases), len(labels), 2), np.nan)
    for end, found in enumerate((height.groupby(keys).min(), height.groupby(keys).max())):
        for (case, label), value in found.items():
            if label in labels:
                ends[cases.index(case), labels.index(label), end] = value
    expected = reference_ends(ends)
    spread = max(WIDTH_MM, spread_of_ends(ends, expected))
    share = np.full(len(table), np.nan)
    for (case, label), rows in table.groupby(["case", "label"]).indices.items():
        there = expected[cases.index(case), labels.index(label)]
        share[rows] = presence(table["height"].to_numpy()[rows], there, spread=spread)
    return share


def _with_prompts(table: pd.DataFrame, drawn: pd.DataFrame) -> pd.DataFrame:
    """One more vote where the model tried several prompts, and one where there was another."""
    known = [name for name in PROMPT_VOTES if name in drawn]
    means = drawn.groupby(PLACE, as_index=False)[known].mean()  # of several objects of a label
    found = table[PLACE].merge(means, on=PLACE, how="left")
    total, weight = table["total"].to_numpy(), table["weight"].to_numpy()
    for name in known:
        dice = found[name].to_numpy()
        votes = np.isfinite(dice) & (table["area_mm2"] > 0).to_numpy()
        total, weight = total + np.where(votes, dice, 0.0), weight + votes
    table = table.assign(total=total, weight=weight)
    if "model_dice" in known:
        table["agreement"] = table["agreement"].fillna(found["model_dice"])
    return table


def _risk(table: pd.DataFrame) -> Floats:
    prior = table["extent"].to_numpy()
    present = LIKELIHOOD * prior / (1.0 + (LIKELIHOOD - 1.0) * prior)
    present = np.where(np.isfinite(prior), present, 1.0)
    hollow = value_distances(table, "core_fill", LEAST_SHARE)
    common = usual(table["place"].to_numpy()) * usual(table["grey"].to_numpy()) * usual(hollow)
    risk: Floats = 1.0 - present * common * table["support"].to_numpy()
    return np.clip(risk, 0.0, 1.0)


def _spacings(images: pd.DataFrame) -> dict[str, tuple[float, float, float]]:
    """Case -> spacing in mm; where it is not known, pixels count as 1 mm."""
    first = images.drop_duplicates("case").set_index("case")
    fill = {"spacing_x": 1.0, "spacing_y": 1.0, "spacing_z": SPACING_MM}
    known = first[list(fill)].fillna(fill)
    return {
        case: (row[0], row[1], row[2])
        for case, row in zip(known.index, known.to_numpy(), strict=True)
    }
