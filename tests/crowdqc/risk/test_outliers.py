"""What is unlike the other cases: medians without oneself, places and values, by brute force."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose

from crowdqc.risk.outliers import (
    LEAST_GREY,
    LIMIT,
    UNUSUAL,
    others_median,
    place_distances,
    usual,
    value_distances,
)
from crowdqc.schema import BOX

SPACING = {f"{n}": (0.5, 0.8, 3.0) for n in range(8)}
PLACES = (("a", (40.0, 60.0)), ("b", (90.0, 30.0)), ("c", (50.0, 90.0)), ("d", (20.0, 20.0)))
COLUMNS = ["case", "slice", "label", *BOX]


def study(rng, *, cases=8, moved=()):
    """Four organs on ten slices of each case; `moved` are boxes (case, label, slice) far off."""
    rows = []
    for n in range(cases):
        patient = rng.normal(0, 3, 2)
        for label, at in PLACES:
            for k in range(10):
                x, y = np.array(at) + patient + rng.normal(0, 0.5, 2) + (k, 0)
                far = 25 * ((f"{n}", label, k) in moved)
                rows.append((f"{n}", k + n, label, x - 9 + far, y - 7, x + 9 + far, y + 7))
    return pd.DataFrame(rows, columns=COLUMNS)


@given(hnp.arrays(float, hnp.array_shapes(min_dims=1, max_dims=3, max_side=6),
                  elements=st.floats(-100, 100)))  # fmt: skip
def test_the_median_of_the_others_is_the_median_without_oneself(values):
    expected = np.full(values.shape, np.nan)
    for n in range(len(values)) if len(values) > 1 else ():
        expected[n] = np.median(np.delete(values, n, axis=0), axis=0)

    assert_allclose(others_median(values), expected)


def test_an_outlier_keeps_less_of_its_support():
    assert_allclose(usual(np.array([LIMIT, 0.0, 1e9, np.nan])), [(1 + UNUSUAL) / 2, 1, UNUSUAL, 1])
    assert (np.diff(usual(np.linspace(0, 20))) < 0).all()


@pytest.mark.parametrize("n_slices", [4, 10], ids=["a run", "the whole organ"])
def test_boxes_that_are_moved_along_an_organ_are_out_of_place(n_slices):
    moved = {("3", "b", k) for k in range(n_slices)}
    boxes = study(np.random.default_rng(0), moved=moved)

    found = place_distances(boxes, SPACING)

    keys = zip(
        found["case"], found["label"], found["slice"] - found["case"].astype(int), strict=True
    )
    wrong = np.array([key in moved for key in keys])
    assert wrong.sum() == n_slices
    assert found.loc[wrong, "place"].min() > LIMIT
    assert (found.loc[~wrong, "place"] > LIMIT).mean() < 0.05


def test_places_are_those_of_a_computation_by_hand():
    """One label of one slice: the distance from the median of the others, over its spread."""
    x = np.array([10.0, 14, 11, 30, 12])
    rows = [(f"{n}", 0, "a", one - 2, 5.0, one + 2, 9.0) for n, one in enumerate(x)]
    others = np.array([np.median(np.delete(x, n)) for n in range(5)])
    off = (x - others) * 0.5
    spread = max(1.4826 * np.median(abs(off)), 1.0)

    found = place_distances(pd.DataFrame(rows, columns=COLUMNS), SPACING)

    assert_allclose(found["place"], abs(off) / spread / np.sqrt(2))


def test_of_few_cases_no_place_is_known():
    found = place_distances(study(np.random.default_rng(0), cases=3), SPACING)
    assert found["place"].isna().all()


def test_cases_with_one_label_are_judged_by_their_picture():
    boxes = study(np.random.default_rng(1), moved={("3", "a", 2)})
    boxes = boxes[(boxes["label"] == "a") | (boxes["case"].astype(int) < 6)]

    found = place_distances(boxes, SPACING)

    assert found["place"].notna().all()
    assert found.loc[found["place"].idxmax(), ["case", "label"]].tolist() == ["3", "a"]


def test_values_are_compared_with_the_other_cases():
    rng = np.random.default_rng(0)
    grey = [rng.normal(100 + n, 6, 10) for n in range(6)]
    grey[2] = grey[2] + 90
    table = pd.DataFrame(
        [(f"{n}", "a", value) for n, own in enumerate(grey) for value in own],
        columns=["case", "label", "grey"],
    )
    table.loc[0, "grey"] = np.nan
    medians = np.array([np.nanmedian(own) for _, own in table.groupby("case")["grey"]])
    others = [np.median(np.delete(medians, n)) for n in range(6)]
    off = table["grey"].to_numpy() - np.repeat(others, 10)

    found = value_distances(table, "grey", LEAST_GREY)

    expected = abs(off) / max(1.4826 * np.nanmedian(abs(off)), LEAST_GREY)
    assert_allclose(found, expected)
    assert (found[20:30] > LIMIT).all()
    assert np.isnan(found[0])


def test_of_few_cases_values_are_compared_with_the_own_slices():
    table = pd.DataFrame({"case": "0", "label": "a", "grey": [100.0, 104, 96, 100, 180]})
    assert_allclose(value_distances(table, "grey", LEAST_GREY), np.array([0, 4, 4, 0, 80]) / 5.9304)
