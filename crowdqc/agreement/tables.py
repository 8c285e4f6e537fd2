"""Agreement of a matched study, as the tables ``measurements`` and ``raters``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdqc.agreement.alpha import krippendorff_alpha
from crowdqc.agreement.boxes import Drawn, Items, leave_one_out, pair_counts
from crowdqc.agreement.resample import Resampling, ratio_interval
from crowdqc.crowd import fit
from crowdqc.matching import Matched
from crowdqc.schema import conform

Floats = NDArray[np.float64]

ALONE = "no slice was read by two raters for the same label"
"""Why agreement is undefined in a study where every label has one rater."""
_EDGES = ["x0", "y0", "x1", "y1"]


@dataclass(frozen=True)
class Limits:
    """When a rater passes: agreement (mean IoU with the others) under these is not enough.

    The whole interval decides: a rater fails only when even its upper bound is under `fail`,
    and passes only when its lower bound is not under `watch`.
    """

    fail: float = 0.5
    """Below IoU 0.5 a box is by the usual convention not a hit."""
    watch: float = 0.6
    """Below this the rater's boxes deserve a look."""


def measure_agreement(
    matched: Matched, *, iou: float = 0.5, resampling: Resampling | None = None
) -> pd.DataFrame:
    """How far the raters of a study agree.

    Parameters
    ----------
    matched : Matched
        The study with its boxes matched.
    iou : float
        IoU from which two boxes count as the same in F1.
    resampling : Resampling, optional
        How intervals are made. None: 1000 resamples, 95 %.

    Returns
    -------
    DataFrame
        Table ``measurements`` with a further column `other`, the second rater of a pair.
    """
    drawn = to_arrays(matched)
    items = _items_table(matched, leave_one_out(drawn))
    rows = [
        _pooled(matched, items, keys, resampling=resampling or Resampling())
        for keys in ([], ["label"], ["case"], ["rater"], ["rater", "label"])
    ]
    rows += [_pairs(matched, drawn, iou=iou), _presence(matched)]
    table = pd.concat(rows, ignore_index=True)
    return conform("measurements", table)


def score_raters(
    matched: Matched,
    *,
    resampling: Resampling | None = None,
    limits: Limits | None = None,
) -> pd.DataFrame:
    """A scorecard for each rater.

    Returns
    -------
    DataFrame
        Table ``raters``, in natural order of the raters.
    """
    drawn = to_arrays(matched)
    items = _items_table(matched, leave_one_out(drawn))
    resampling = resampling or Resampling()
    pooled = _pooled(matched, items, ["rater"], resampling=resampling).set_index("rater")
    crowd = fit(matched)
    people = pd.Index(matched.people, name="rater")
    table = pd.DataFrame(index=people)
    table = table.join(_counts(matched)).fillna(0)
    table["agreement"] = pooled["value"].reindex(people)
    table["agreement_low"] = pooled["low"].reindex(people)
    table["agreement_high"] = pooled["high"].reindex(people)
    table["reliability"] = np.where(table["agreement"].isna(), np.nan, crowd.reliability)
    groups = items.groupby("rater")
    drew = groups["drew"].sum()
    table["miss_rate"] = groups["missed"].sum() / groups["real"].sum().replace(0, np.nan)
    table["extra_rate"] = groups["extra"].sum() / drew.replace(0, np.nan)
    for name in ("shift_x", "shift_y"):
        table[name] = groups[name].median()
    table["size_ratio"] = groups["scale"].median()
    table["weight"] = table["reliability"] / table["reliability"].max()
    verdicts = [_verdict(row, limits or Limits()) for row in table.itertuples()]
    table["verdict"] = [verdict for verdict, _ in verdicts]
    table["reasons"] = [reasons for _, reasons in verdicts]
    return conform("raters", table.reset_index())


def to_arrays(matched: Matched) -> Drawn:
    """Arrays of a matched study for `crowdqc.agreement.boxes`."""
    boxes, asked = matched.boxes, matched.asked
    return Drawn(
        boxes=boxes[_EDGES].to_numpy(np.float64),
        object=boxes["object"].to_numpy(np.int64),
        rater=boxes["person"].to_numpy(np.int64),
        place=matched.objects["place"].to_numpy(np.int64),
        asked_place=asked["place"].to_numpy(np.int64),
        asked_rater=asked["person"].to_numpy(np.int64),
        n_raters=len(matched.people),
    )


def _items_table(matched: Matched, items: Items) -> pd.DataFrame:
    where = matched.objects.iloc[items.object][["case", "label"]].reset_index(drop=True)
    return where.assign(
        rater=np.array(matched.people, dtype=object)[items.rater],
        iou=items.iou,
        missed=items.missed,
        extra=items.extra,
        drew=~items.missed,
        real=~items.extra,
        shift_x=items.shift[:, 0],
        shift_y=items.shift[:, 1],
        scale=items.scale,
    )


def _pooled(
    matched: Matched, items: pd.DataFrame, keys: list[str], *, resampling: Resampling
) -> pd.DataFrame:
    """Mean IoU with the others, for each group of `keys`, with an interval over cases."""
    if items.empty:
        return _undefined(matched, keys)
    cases = pd.Index(matched.study.cases)
    groups = items.groupby(keys, sort=True).ngroup() if keys else pd.Series(0, index=items.index)
    n_groups = int(groups.max()) + 1
    cell = cases.get_indexer(items["case"]) * n_groups + groups.to_numpy()
    shape = (len(cases), n_groups)
    above = _sums(cell, items["iou"].to_numpy(), shape)
    below = _sums(cell, np.ones(len(cell)), shape)
    weights = resampling.weights(len(cases))
    low, high = ratio_interval(above, below, weights, level=resampling.level)
    names = items[keys].assign(group=groups).drop_duplicates("group").sort_values("group")
    n = below.sum(axis=0)
    return names[keys].assign(
        measure="mean_iou", value=above.sum(axis=0) / n, low=low, high=high, n=n, unit="1"
    )


def _sums(cell: NDArray[np.int64], weight: Floats, shape: tuple[int, int]) -> Floats:
    """Sum of the weights in each cell of a table."""
    return np.bincount(cell, weight, shape[0] * shape[1]).reshape(shape).astype(np.float64)


def _undefined(matched: Matched, keys: list[str]) -> pd.DataFrame:
    known = {"rater": list(matched.people), "case": matched.study.cases}
    names = {key: known.get(key, list(matched.study.labels)) for key in keys}
    index = pd.MultiIndex.from_product(names.values(), names=keys) if keys else None
    frame = index.to_frame(index=False) if index is not None else pd.DataFrame(index=[0])
    return frame.assign(measure="mean_iou", value=np.nan, low=np.nan, high=np.nan, n=0, why=ALONE)


def _pairs(matched: Matched, drawn: Drawn, *, iou: float) -> pd.DataFrame:
    """Mean IoU and F1 of each pair of raters who were asked for the same."""
    sums = pair_counts(drawn, iou=iou)
    a, b = np.nonzero(np.triu(sums["objects"], 1))
    people = np.array(matched.people, dtype=object)
    common = {"rater": people[a], "other": people[b], "n": sums["objects"][a, b], "unit": "1"}
    f1 = 2 * sums["same"] / np.maximum(sums["boxes"] + sums["boxes"].T, 1)
    mean = sums["iou"] / np.maximum(sums["objects"], 1)
    rows = [
        pd.DataFrame({**common, "measure": measure, "value": matrix[a, b]})
        for measure, matrix in (("pair_iou", mean), ("pair_f1", f1))
    ]
    return pd.concat(rows, ignore_index=True)


def _presence(matched: Matched) -> pd.DataFrame:
    """Alpha of whether a label is on a slice, for each label and over all."""
    asked = matched.asked[["place", "person", "label"]]
    drew = pd.MultiIndex.from_frame(matched.boxes[["place", "person"]])
    there = pd.MultiIndex.from_frame(asked[["place", "person"]]).isin(drew)
    asked = asked.assign(there=there.astype(np.float64))
    rows = []
    for label, group in [("", asked), *asked.groupby("label", sort=True)]:
        data = np.full((len(matched.people), int(asked["place"].max()) + 1), np.nan)
        data[group["person"], group["place"]] = group["there"]
        alpha = krippendorff_alpha(data, level="nominal")
        pairable = (~np.isnan(data)).sum(axis=0) >= 2
        why = "" if not np.isnan(alpha) else _why(bool(pairable.any()))
        row = {"measure": "alpha_presence", "label": label, "value": alpha, "unit": "1"}
        rows.append({**row, "n": int(pairable.sum()), "why": why})
    return pd.DataFrame(rows)


def _why(pairs: bool) -> str:  # noqa: FBT001
    return "all raters always said the same" if pairs else ALONE


def _counts(matched: Matched) -> pd.DataFrame:
    asked = matched.asked.assign(rater=np.array(matched.people, dtype=object)[matched.asked.person])
    boxes = np.array(matched.people, dtype=object)[matched.boxes["person"]]
    groups = asked.drop_duplicates(["case", "slice", "rater"]).groupby("rater")
    return pd.DataFrame(
        {
            "n_cases": groups["case"].nunique(),
            "n_slices": groups.size(),
            "n_boxes": pd.Series(boxes).value_counts(),
        }
    )


def _verdict(row: object, limits: Limits) -> tuple[str, str]:
    """Verdict of one rater and the reasons for it."""
    value, low, high = (
        getattr(row, name) for name in ("agreement", "agreement_low", "agreement_high")
    )
    if np.isnan(value):
        return "watch", ALONE
    low, high = (value if np.isnan(bound) else bound for bound in (low, high))
    if low >= limits.watch:
        return "pass", ""
    verdict = "fail" if high < limits.fail else "watch"
    return verdict, f"agreement {value:.2f} ({low:.2f} to {high:.2f})"
