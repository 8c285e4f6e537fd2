"""Raters against gold boxes, where a study has some."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crowdqc.agreement.ratios import Ratio, clustered_ratio
from crowdqc.agreement.resample import clusters
from crowdqc.arrays import Floats, Ints
from crowdqc.geometry import paired_iou
from crowdqc.matching import Matched, match_boxes
from crowdqc.schema import BOX, PLACE


def gold_scores(
    matched: Matched, gold: pd.DataFrame, *, iou: float = 0.5, level: float = 0.95
) -> pd.DataFrame:
    """F1 and IoU of each rater against gold boxes.

    Parameters
    ----------
    matched : Matched
        The study.
    gold : DataFrame
        ``case, slice, label, x0, y0, x1, y1``: the true boxes. Only cases that hold some
        count; in these, a slice without one has nothing in it.
    iou : float
        IoU from which a box is right.
    level : float
        Coverage of the interval.

    Returns
    -------
    DataFrame
        Indexed by rater: ``gold_f1, gold_f1_low, gold_f1_high``, ``gold_iou`` (mean IoU of
        right boxes) and ``gold_places`` (slices times labels that were compared); nan where a
        rater read no slice of a case with gold.
    """
    asked = matched.asked[matched.asked["case"].isin(gold["case"].unique())]
    place = matched.asked[[*PLACE, "place"]].drop_duplicates("place")
    true = gold.merge(place, on=PLACE)
    drawn = matched.boxes[matched.boxes["place"].isin(asked["place"])]
    hits, overlap = _hits(drawn, true, asked, iou=iou)
    n_true = np.bincount(true["place"], minlength=int(place["place"].max()) + 1)
    ratio = _f1(matched, drawn, asked, hits=hits, n_true=n_true)
    low, high = ratio.bounds(level, share=1)
    n, rater = len(matched.people), drawn["person"].to_numpy(np.int64)
    right = np.bincount(rater, hits, n)
    good = np.bincount(rater, overlap * hits, n)
    mean = np.divide(good, right, out=np.full(n, np.nan), where=right > 0)
    return pd.DataFrame(
        {
            "gold_f1": ratio.value,
            "gold_f1_low": np.clip(low, 0, 1),
            "gold_f1_high": np.clip(high, 0, 1),
            "gold_iou": mean,
            "gold_places": np.bincount(asked["person"].to_numpy(np.int64), minlength=n),
        },
        index=pd.Index(matched.people, name="rater"),
    )


def _f1(
    matched: Matched, drawn: pd.DataFrame, asked: pd.DataFrame, *, hits: Floats, n_true: Ints
) -> Ratio:
    """Two hits for each right box, of the boxes drawn and the gold ones at the places asked."""
    who, at = (
        np.concatenate([drawn[name].to_numpy(np.int64), asked[name].to_numpy(np.int64)])
        for name in ("person", "place")
    )
    known = matched.asked.drop_duplicates("place").set_index("place").reindex(at)
    case = pd.Index(matched.study.cases).get_indexer(known["case"]).astype(np.int64)
    cluster, _ = clusters(case, known["slice"].to_numpy(np.int64))
    gold = n_true[asked["place"].to_numpy(np.int64)]
    return clustered_ratio(
        np.concatenate([2.0 * hits, np.zeros(len(asked))]),
        np.concatenate([np.ones(len(drawn)), gold.astype(np.float64)]),
        rater=who,
        cluster=cluster,
        n_raters=len(matched.people),
    )


def _hits(
    drawn: pd.DataFrame, true: pd.DataFrame, asked: pd.DataFrame, *, iou: float
) -> tuple[Floats, Floats]:
    """Whether each drawn box is right, and its IoU with the gold box that it is paired with.

    Boxes and gold of each rater and place are paired so that the sum of IoU - `iou` over the
    pairs is greatest.
    """
    span = int(asked["person"].max() if len(asked) else 0) + 1
    asked_gold = asked[["place", "person"]].merge(true[["place", *BOX]], on="place")
    boxes = np.vstack([drawn[BOX].to_numpy(), asked_gold[BOX].to_numpy()])
    image = pd.concat([drawn[["place", "person"]], asked_gold[["place", "person"]]])
    code = image["place"].to_numpy(np.int64) * span + image["person"].to_numpy(np.int64)
    side = np.arange(len(boxes)) >= len(drawn)
    found = match_boxes(boxes, image=code, rater=side.astype(np.int64), iou=iou)
    partner = np.full(int(found.max(initial=-1)) + 1, -1)
    partner[found[side]] = np.flatnonzero(side)
    with_gold = partner[found[~side]]
    overlap = np.zeros(len(drawn))
    paired = with_gold >= 0
    overlap[paired] = paired_iou(boxes[: len(drawn)][paired], boxes[with_gold[paired]])
    return (overlap >= iou).astype(np.float64), overlap
