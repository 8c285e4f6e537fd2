"""Agreement of a matched study, as the table ``measurements``.

The formulas stand in ``docs/measures.md``, a row for each measure.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdqc.agreement.alpha import nominal_alpha, nominal_sums, summed
from crowdqc.agreement.arrays import Compared, compare
from crowdqc.agreement.boxes import Drawn, Pairs
from crowdqc.agreement.continuity import measure_roughness
from crowdqc.agreement.edges import edge_correlations
from crowdqc.agreement.extent import extents
from crowdqc.agreement.pool import ALONE, Places, Summands, interval_of, number_places, pool
from crowdqc.agreement.resample import Resampling
from crowdqc.agreement.units import Units, image_alpha, vitality
from crowdqc.matching import Matched, match
from crowdqc.schema import ReadingState, conform

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

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
    """
    resampling = resampling or Resampling()
    places = number_places(matched, resampling)
    return measurements(matched, compare(matched, iou=iou), places, resampling=resampling)


def measurements(
    matched: Matched, compared: Compared, places: Places, *, resampling: Resampling
) -> pd.DataFrame:
    """As `measure_agreement`, of a study whose boxes were held against each other before."""
    rows = [*_basic(compared, places), *_by_parts(compared, places)]
    rows += [extents(matched, places), edge_correlations(matched, places.level)]
    rows.append(measure_roughness(matched))
    opened = matched.study.readings["state"] == ReadingState.OPENED.value
    if opened.any():
        other = match(matched.study, iou=matched.iou, opened=True)
        again = _basic(compare(other, iou=compared.iou), number_places(other, resampling))
        rows += [row.assign(measure=row["measure"] + OPENED) for row in again]
    table = pd.concat([row for row in rows if len(row)], ignore_index=True)
    for key in ("case", "label", "rater", "other", "why"):
        table[key] = table[key].fillna("") if key in table else ""
    return conform("measurements", table)


def _basic(compared: Compared, places: Places) -> list[pd.DataFrame]:
    """Measures of the whole study and of each label."""
    rows = []
    for keys in ([], ["label"]):
        rows += [_mean_iou(compared, keys, places), _f1(compared, keys, places)]
    rows += [_alpha_box(compared.units, places), _alpha_box_mean(compared.units, places)]
    return [*rows, _presence(compared.drawn, places)]


def _by_parts(compared: Compared, places: Places) -> list[pd.DataFrame]:
    """Measures of cases, of raters and of pairs of raters."""
    return [
        _mean_iou(compared, ["case"], places),
        _f1(compared, ["case"], places),
        _case_alpha(compared.units, places),
        _mean_iou(compared, ["rater"], places),
        _mean_iou(compared, ["rater", "label"], places),
        _vitality(compared.units, places),
        *_pairs(compared, places),
    ]


def _mean_iou(compared: Compared, keys: list[str], places: Places) -> pd.DataFrame:
    """Mean IoU with the consensus of the others; of raters it is called ``rater_agreement``."""
    name = "rater_agreement" if "rater" in keys else "mean_iou"
    items = compared.items
    if not len(items.iou):
        return _undefined(name, keys, places)
    place = compared.drawn.place[items.object]
    summands = Summands(place, items.iou, np.ones(len(items.iou)), {"rater": items.rater})
    return pool(summands, keys, places, measure=name)


def _undefined(measure: str, keys: list[str], places: Places) -> pd.DataFrame:
    """Rows that say that nobody can be compared."""
    names = [places.names[key] for key in keys]
    index = pd.MultiIndex.from_product(names, names=keys).to_frame(index=False) if keys else None
    frame = pd.DataFrame(index=[0]) if index is None else index
    return frame.assign(measure=measure, value=np.nan, n=0, unit="1", why=ALONE)


def _f1(compared: Compared, keys: list[str], places: Places) -> pd.DataFrame:
    """F1 of all pairs of raters together."""
    if not len(compared.pairs.iou):
        return _undefined("f1", keys, places)
    return pool(_f1_summands(compared), keys, places, measure="f1")


def _f1_summands(compared: Compared) -> Summands:
    pairs = compared.pairs
    same = pairs.drew_a & pairs.drew_b & (pairs.iou >= compared.iou)
    boxes: Floats = np.add(pairs.drew_a, pairs.drew_b, dtype=np.float64)
    twice = np.where(same, 2.0, 0.0)
    return Summands(compared.drawn.place[pairs.object], twice, boxes, _codes(pairs))


def _codes(pairs: Pairs) -> dict[str, Ints]:
    return {"rater": pairs.a, "other": pairs.b}


def _pairs(compared: Compared, places: Places) -> list[pd.DataFrame]:
    """Mean IoU and F1 of each pair of raters who were asked for the same."""
    pairs, keys = compared.pairs, ["rater", "other"]
    place = compared.drawn.place[pairs.object]
    overlap = Summands(place, pairs.iou, np.ones(len(pairs.iou)), _codes(pairs))
    return [
        pool(overlap, keys, places, measure="pair_iou"),
        pool(_f1_summands(compared), keys, places, measure="pair_f1"),
    ]


def _alpha_row(
    measure: str, sums: tuple[Floats, Floats], cluster: Ints, *, places: Places, label: str = ""
) -> dict[str, object]:
    """Alpha over units with its interval, and why it is nan if it is."""
    value, low, high = interval_of(nominal_alpha, [*sums], cluster, places=places)
    n = int((sums[0].sum(axis=1) > 0).sum())
    why = "" if np.isfinite(value) else ("all raters always said the same" if n else ALONE)
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


def _alpha_box_mean(units: Units, places: Places) -> pd.DataFrame:
    """Mean of the alphas of images that two raters read."""
    n_images = int(units.image.max(initial=-1)) + 1
    alpha = image_alpha(units, n_images)
    cluster = np.zeros(n_images, np.int64)
    cluster[units.image] = _cluster_of(units, places)
    known = np.isfinite(alpha)
    sums = [np.where(known, alpha, 0.0), known.astype(np.float64)]
    value, low, high = interval_of(_mean, sums, cluster, places=places)
    row = {"measure": "alpha_box_mean", "value": value, "low": low, "high": high}
    why = "" if known.any() else ALONE
    return pd.DataFrame([{**row, "n": int(known.sum()), "unit": "1", "why": why}])


def _mean(top: Floats, bottom: Floats) -> Floats:
    mean: Floats = np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom > 0)
    return mean


def _case_alpha(units: Units, places: Places) -> pd.DataFrame:
    """Alpha for boxes of each case, over all its units."""
    case = _image_part(units, places.case, places)
    totals, same = units.sums()
    n_cases = len(places.names["case"])
    value = nominal_alpha(summed(case, totals, n_cases), summed(case, same, n_cases))
    n = np.bincount(case, totals.sum(axis=1) > 0, n_cases).astype(np.int64)
    why = np.where(
        np.isfinite(value), "", np.where(n > 0, "all raters always said the same", ALONE)
    )
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


def _presence(drawn: Drawn, places: Places) -> pd.DataFrame:
    """Agreement on whether a label is on a slice, by three formulas, over all and by label."""
    span = drawn.n_raters
    boxes = drawn.place[drawn.object] * span + drawn.rater
    there = np.isin(drawn.asked_place * span + drawn.asked_rater, boxes).astype(np.int64)
    rows = []
    for code, name in [(-1, ""), *enumerate(places.names["label"])]:
        rows += _presence_rows(drawn, there, places, label=(code, name))
    return pd.DataFrame(rows)


def _presence_rows(
    drawn: Drawn, there: Ints, places: Places, *, label: tuple[int, str]
) -> list[dict[str, object]]:
    code, name = label
    mine = slice(None) if code < 0 else places.label[drawn.asked_place] == code
    place, value = drawn.asked_place[mine], there[mine]
    totals, same = nominal_sums(place, value, n_units=len(places.case), n_values=2)
    rows = [_alpha_row("alpha_presence", (totals, same), places.cluster, places=places, label=name)]
    m = totals.sum(axis=1)
    paired = m >= 2
    agree = np.where(paired, same / np.maximum(m, 1), 0.0)
    share = totals / np.maximum(m, 1)[:, None]
    sums = [agree, share, paired.astype(np.float64)]
    for measure, chance in (("ac1_presence", _gwet), ("fleiss_presence", _fleiss)):
        if measure == "fleiss_presence" and len(np.unique(m[paired])) > 1:
            row = {"value": np.nan, "why": "slices were read by different numbers of raters"}
        else:
            found = interval_of(chance, sums, places.cluster, places=places)
            row = dict(zip(("value", "low", "high"), found, strict=True))
            row["why"] = "" if np.isfinite(found[0]) else rows[0]["why"] or ALONE
        rows.append({"measure": measure, "label": name, "n": int(paired.sum()), "unit": "1", **row})
    return rows


def _gwet(agree: Floats, share: Floats, n: Floats) -> Floats:
    part = share / np.maximum(n, 1)[..., None]
    return _corrected(agree, 2 * part[..., 0] * part[..., 1], n)


def _fleiss(agree: Floats, share: Floats, n: Floats) -> Floats:
    part = share / np.maximum(n, 1)[..., None]
    return _corrected(agree, np.square(part).sum(axis=-1), n)


def _corrected(agree: Floats, chance: Floats, n: Floats) -> Floats:
    """(observed - chance) / (1 - chance), nan without units or where chance is certain."""
    top, bottom = agree / np.maximum(n, 1) - chance, 1 - chance
    sound = (n > 0) & (bottom > 1e-12)
    corrected: Floats = np.divide(top, bottom, out=np.full(np.shape(n), np.nan), where=sound)
    return corrected
