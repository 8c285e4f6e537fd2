"""Agreement of a matched study, as the table ``measurements``.

The formulas stand in ``docs/measures.md``, a row for each measure.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from crowdqc.agreement.alpha import nominal_alpha, nominal_sums, summed
from crowdqc.agreement.arrays import Compared, compare
from crowdqc.agreement.boxes import Pairs, leave_one_out
from crowdqc.agreement.confusions import confusions_of_raters
from crowdqc.agreement.continuity import measure_roughness
from crowdqc.agreement.edges import edge_alphas, edge_correlations
from crowdqc.agreement.extent import extents
from crowdqc.agreement.pool import (
    Places,
    Summands,
    alpha_of,
    number_places,
    pool,
    undefined,
)
from crowdqc.agreement.presence import SAME, pair_kappas, presence, presence_of_all
from crowdqc.agreement.resample import Resampling
from crowdqc.agreement.units import Units, image_alpha, vitality
from crowdqc.arrays import Floats, Ints
from crowdqc.matching import Matched, match
from crowdqc.schema import ReadingState, conform

OPENED = "_if_read"
"""Behind the name of a measure: readings that were only opened count as read."""


def measure_agreement(
    matched: Matched, *, iou: float = 0.5, resampling: Resampling | None = None
) -> pd.DataFrame:
    """How far the raters of a study agree.

    Parameters
    ----------
    matched : Matched
        The study with its boxes matched.
    iou : float
        IoU from which two boxes count as the same in F1 and in alpha for boxes.
    resampling : Resampling, optional
        How intervals are made. None: 1000 resamples, 95 %.

    Returns
    -------
    DataFrame
        Table ``measurements`` with a further column `other`, the second rater of a pair. A
        study in which no slice was read by two raters for the same label has rows whose value
        is nan, and `why` says so. Where readings were only opened, the measures of the whole
        study and of each label stand there twice: a name that ends in `OPENED` takes them
        for read.

    Examples
    --------
    >>> import crowdqc
    >>> matched = crowdqc.match(crowdqc.Study.from_boxes(crowdqc.example_boxes()))
    >>> table = crowdqc.measure_agreement(matched)
    >>> table.columns[:6].tolist()
    ['measure', 'case', 'slice', 'rater', 'label', 'value']
    """
    resampling = resampling or Resampling()
    places = number_places(matched, resampling)
    return measurements(matched, compare(matched, iou=iou), places, resampling=resampling)


def measurements(
    matched: Matched, compared: Compared, places: Places, *, resampling: Resampling
) -> pd.DataFrame:
    """As `measure_agreement`, of a study whose boxes were held against each other before.

    Parameters
    ----------
    matched : Matched
        A study whose boxes are joined to objects.
    compared : Compared
        Its boxes against those of the others.
    places : Places
        Its clusters and resamples.
    resampling : Resampling
        For the measures that count opened files as read, where there are any.

    Returns
    -------
    DataFrame
        The table ``measurements``.
    """
    overlaps = _overlaps(compared)
    rows = [*_basic(compared, overlaps, places), *_by_parts(compared, overlaps, places)]
    del overlaps
    rows += [extents(matched, places), edge_correlations(matched, places.level)]
    rows.append(edge_alphas(matched, places))
    rows.append(measure_roughness(matched))
    opened = matched.study.readings["state"] == ReadingState.OPENED.value
    if opened.any():
        other = match(matched.study, iou=matched.iou, opened=True)
        held = compare(other, iou=compared.iou)
        again = _basic(held, _overlaps(held), number_places(other, resampling))
        rows += [row.assign(measure=row["measure"] + OPENED) for row in again]
    table = pd.concat([row for row in rows if len(row)], ignore_index=True)
    for key in ("case", "label", "rater", "other", "why"):
        table[key] = table[key].fillna("") if key in table else ""
    return conform("measurements", table)


def _overlaps(compared: Compared) -> Summands:
    """IoU of each box with the consensus of the others."""
    items = leave_one_out(compared.drawn)
    place = compared.drawn.place[items.object]
    return Summands(place, (items.iou, np.ones(len(items.iou))), {"rater": items.rater})


def _basic(compared: Compared, overlaps: Summands, places: Places) -> list[pd.DataFrame]:
    """Measures of the whole study and of each label."""
    rows = []
    for keys in ([], ["label"]):
        rows += [_mean_iou(overlaps, keys, places), _f1(compared, keys, places)]
        rows.append(presence_of_all(compared.drawn, keys, places))
    return [*rows, _alpha_box(compared.units, places), _alpha_box_mean(compared.units, [], places)]


def _by_parts(compared: Compared, overlaps: Summands, places: Places) -> list[pd.DataFrame]:
    """Measures of cases, of raters and of pairs of raters."""
    return [
        _mean_iou(overlaps, ["case"], places),
        _mean_iou(overlaps, ["case", "label"], places),
        _f1(compared, ["case"], places),
        _case_alpha(compared.units, places),
        _alpha_box_mean(compared.units, ["case"], places),
        presence(compared.drawn, ["case"], places),
        _mean_iou(overlaps, ["rater"], places),
        _mean_iou(overlaps, ["rater", "label"], places),
        pool(_f1_of_each(compared), ["rater"], places, measure="f1"),
        _vitality(compared.units, places),
        *_pairs(compared, places),
        pair_kappas(compared.drawn, places),
        confusions_of_raters(compared.units, places),
    ]


def _mean_iou(overlaps: Summands, keys: list[str], places: Places) -> pd.DataFrame:
    """Mean IoU with the consensus of the others; of raters it is called ``rater_agreement``."""
    name = "rater_agreement" if "rater" in keys else "mean_iou"
    if not len(overlaps.place):
        return undefined(name, keys, places)
    return pool(overlaps, keys, places, measure=name)


def _f1(compared: Compared, keys: list[str], places: Places) -> pd.DataFrame:
    """F1 of all pairs of raters together."""
    if not len(compared.pairs.iou):
        return undefined("f1", keys, places)
    return pool(_f1_summands(compared), keys, places, measure="f1")


def _f1_summands(compared: Compared) -> Summands:
    pairs = compared.pairs
    same = pairs.drew_a & pairs.drew_b & (pairs.iou >= compared.iou)
    boxes: Floats = np.add(pairs.drew_a, pairs.drew_b, dtype=np.float64)
    twice = np.where(same, 2.0, 0.0)
    return Summands(compared.drawn.place[pairs.object], (twice, boxes), _codes(pairs))


def _f1_of_each(compared: Compared) -> Summands:
    """Every pair twice: once for each of its two raters."""
    of_pairs, pairs = _f1_summands(compared), compared.pairs
    return Summands(
        np.tile(of_pairs.place, 2),
        tuple(np.tile(part, 2) for part in of_pairs.parts),
        {"rater": np.concatenate([pairs.a, pairs.b])},
    )


def _codes(pairs: Pairs) -> dict[str, Ints]:
    return {"rater": pairs.a, "other": pairs.b}


def _pairs(compared: Compared, places: Places) -> list[pd.DataFrame]:
    """Mean IoU and F1 of each pair of raters who were asked for the same."""
    pairs, keys = compared.pairs, ["rater", "other"]
    place = compared.drawn.place[pairs.object]
    overlap = Summands(place, (pairs.iou, np.ones(len(pairs.iou))), _codes(pairs))
    return [
        pool(overlap, keys, places, measure="pair_iou"),
        pool(_f1_summands(compared), keys, places, measure="pair_f1"),
    ]


def _alpha_row(
    measure: str, sums: tuple[Floats, Floats], cluster: Ints, *, places: Places, label: str = ""
) -> dict[str, object]:
    """Alpha over units with its interval, and why it is nan if it is."""
    value, low, high = alpha_of(*sums, cluster, places=places)
    n = int((sums[0].sum(axis=1) > 0).sum())
    why = "" if np.isfinite(value) else (SAME if n else places.alone)
    row = {"measure": measure, "label": label, "value": value, "low": low, "high": high}
    return {**row, "n": n, "unit": "1", "why": why}


def _cluster_of(units: Units, places: Places) -> Ints:
    """Cluster of each unit: units count images, images are numbered by `to_units`."""
    return _image_part(units, places.cluster, places)


def _image_part(units: Units, part: Ints, places: Places) -> Ints:
    of_image = np.zeros(int(places.image.max(initial=-1)) + 1, np.int64)
    of_image[places.image] = part
    return of_image[units.image]


def _alpha_box(units: Units, places: Places) -> pd.DataFrame:
    """Global alpha for boxes, and of each label against all else."""
    cluster = _cluster_of(units, places)
    rows = [_alpha_row("alpha_box", units.sums(), cluster, places=places)]
    for code, name in enumerate(places.names["label"]):
        value = (units.value == code).astype(np.int64)
        sums = nominal_sums(units.unit, value, n_units=len(units.image), n_values=2)
        rows.append(_alpha_row("alpha_box", sums, cluster, places=places, label=name))
    return pd.DataFrame(rows)


def _alpha_box_mean(units: Units, keys: list[str], places: Places) -> pd.DataFrame:
    """Mean of the alphas of images that two raters read."""
    n_images = int(units.image.max(initial=-1)) + 1
    alpha = image_alpha(units, n_images)
    known = np.flatnonzero(np.isfinite(alpha))
    if not len(known):
        return undefined("alpha_box_mean", keys, places)
    place = np.zeros(n_images, np.int64)
    place[places.image] = np.arange(len(places.image))
    summands = Summands(place[known], (alpha[known], np.ones(len(known))))
    return pool(summands, keys, places, measure="alpha_box_mean")


def _case_alpha(units: Units, places: Places) -> pd.DataFrame:
    """Alpha for boxes of each case, over all its units."""
    case = _image_part(units, places.case, places)
    totals, same = units.sums()
    n_cases = len(places.names["case"])
    value = nominal_alpha(summed(case, totals, n_cases), summed(case, same, n_cases))
    n = np.bincount(case, totals.sum(axis=1) > 0, n_cases).astype(np.int64)
    why = np.where(np.isfinite(value), "", np.where(n > 0, SAME, places.alone))
    return pd.DataFrame(
        {"measure": "alpha_box", "case": places.names["case"], "value": value, "n": n, "unit": "1"}
    ).assign(why=why)


def _vitality(units: Units, places: Places) -> pd.DataFrame:
    """By how much alpha for boxes is higher with each rater than without."""
    people = places.names["rater"]
    value = vitality(units, len(people))
    why = np.where(np.isfinite(value), "", "alpha is not defined with and without the rater")
    n = np.bincount(units.rater, minlength=len(people))
    return pd.DataFrame(
        {"measure": "vitality", "rater": people, "value": value, "n": n, "unit": "1", "why": why}
    )
