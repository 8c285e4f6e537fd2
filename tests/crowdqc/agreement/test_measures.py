"""The table of measurements, by hand and by other ways."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from crowdqc.agreement import (
    Resampling,
    bootstrap,
    cohen_kappa,
    fleiss_kappa,
    gwet_ac1,
    icc,
    krippendorff_alpha,
    measure_agreement,
)
from crowdqc.agreement.pool import Summands
from crowdqc.geometry import paired_iou
from crowdqc.matching import match
from tests.crowdqc.agreement.organs import BOX, organ_study

FAULTS = {"a": {"noise": 1.5}, "b": {"noise": 3.0, "miss": 0.2}, "c": {"noise": 2.0, "miss": 0.1}}


@pytest.fixture(scope="module")
def study():
    return organ_study(FAULTS, cases=6, slices=12, seed=8)


@pytest.fixture(scope="module")
def table(study):
    return measure_agreement(match(study), resampling=Resampling(n=200, seed=1))


def row(table, measure, **where):
    rows = table[table["measure"] == measure]
    for key in ("case", "label", "rater", "other"):
        rows = rows[rows[key] == where.get(key, "")]
    assert len(rows) == 1
    return rows.iloc[0]


def presence(study, label):
    """Raters x slices: 1 where the label was drawn."""
    places = list(study.images[["case", "slice"]].itertuples(index=False, name=None))
    drawn = study.boxes[study.boxes["label"] == label]
    have = set(drawn[["case", "slice", "rater"]].itertuples(index=False, name=None))
    return np.array([[float((*place, rater) in have) for place in places] for rater in "abc"])


def test_presence_is_that_of_the_kernels(study, table):
    data = presence(study, "liver")

    for measure, kernel in (
        ("alpha_presence", krippendorff_alpha),
        ("ac1_presence", gwet_ac1),
        ("fleiss_presence", fleiss_kappa),
    ):
        found = row(table, measure, label="liver")
        assert found["value"] == pytest.approx(kernel(data))
        assert found["n"] == data.shape[1]
        assert found["low"] < found["value"] < found["high"]


@pytest.mark.parametrize("pair", [("a", "b"), ("a", "c"), ("b", "c")], ids="".join)
def test_kappa_of_a_pair_is_cohens(study, table, pair):
    data = np.hstack([presence(study, label) for label in study.labels])
    first, second = (data["abc".index(rater)] for rater in pair)

    found = row(table, "pair_kappa", rater=pair[0], other=pair[1])

    assert found["value"] == pytest.approx(cohen_kappa(first, second))
    assert found["n"] == data.shape[1]
    assert found["low"] < found["value"] < found["high"]


def test_presence_of_a_case_is_that_of_its_slices(study, table):
    mine = (study.images["case"] == "0003").to_numpy()
    data = np.hstack([presence(study, label)[:, mine] for label in study.labels])

    for measure, kernel in (("alpha_presence", krippendorff_alpha), ("ac1_presence", gwet_ac1)):
        assert row(table, measure, case="0003")["value"] == pytest.approx(kernel(data))


def test_slices_of_different_numbers_of_raters_have_no_fleiss(study):
    readings = study.readings[~((study.readings["rater"] == "c") & (study.readings["slice"] == 3))]
    boxes = study.boxes[~((study.boxes["rater"] == "c") & (study.boxes["slice"] == 3))]
    less = dataclasses.replace(study, readings=readings, boxes=boxes)
    found = row(measure_agreement(match(less), resampling=Resampling(n=20)), "fleiss_presence")

    assert found[["value", "low", "high"]].isna().all()
    assert found["why"] == "slices were read by different numbers of raters"


def test_raters_who_always_say_the_same_have_no_kappa():
    study = organ_study({"a": {}, "b": {}}, cases=2, slices=8)
    everywhere = study.boxes.groupby(["case", "slice", "label"])["rater"].transform("nunique") == 2
    shared = study.boxes[everywhere]
    places = pd.MultiIndex.from_frame(shared[["case", "slice"]].drop_duplicates())
    read = pd.MultiIndex.from_frame(study.readings[["case", "slice"]]).isin(places)
    labels = shared.groupby(["case", "slice"])["label"].agg(lambda names: " ".join(set(names)))
    readings = study.readings[read].drop(columns="labels").join(labels, on=["case", "slice"])
    readings = readings.rename(columns={"label": "labels"})
    same = dataclasses.replace(study, boxes=shared, readings=readings)
    table = measure_agreement(match(same), resampling=Resampling(n=20))

    for measure in ("alpha_presence", "fleiss_presence"):
        assert np.isnan(row(table, measure)["value"])
        assert row(table, measure)["why"] == "all raters always gave the same answer"
    assert np.isnan(row(table, "pair_kappa", rater="a", other="b")["value"])
    assert row(table, "ac1_presence")["value"] == 1


def test_f1_of_a_rater_is_over_all_pairs_of_that_rater(table):
    pairs = table[table["measure"] == "pair_f1"]
    of_a = row(table, "f1", rater="a")

    assert of_a["n"] == pairs.loc[pairs["rater"] == "a", "n"].sum()
    assert pairs.loc[pairs["rater"] == "a", "value"].min() < of_a["value"]
    assert of_a["value"] < pairs.loc[pairs["rater"] == "a", "value"].max()


def test_alpha_of_edges_is_krippendorffs(study, table):
    liver = study.boxes[study.boxes["label"] == "liver"]
    wide = liver.pivot_table(index="rater", columns=["case", "slice"], values="y1")

    found = row(table, "alpha_y1", label="liver")

    assert found["value"] == pytest.approx(krippendorff_alpha(wide.to_numpy(), "interval"))
    assert found["n"] == (wide.notna().sum() >= 2).sum()
    assert found["low"] < found["value"] < found["high"]


def test_alpha_of_the_images_of_a_case_add_up(table):
    parts = table[(table["measure"] == "alpha_box_mean") & (table["case"] != "")]
    whole = row(table, "alpha_box_mean")

    assert len(parts) == 6
    assert parts["n"].sum() == whole["n"]
    assert np.average(parts["value"], weights=parts["n"]) == pytest.approx(whole["value"])


def test_what_raters_call_a_label_adds_up(study, table):
    called = table[table["measure"].str.startswith("called_")]

    assert set(called["rater"]) == {"a", "b", "c"}
    assert called.groupby(["rater", "label"])["value"].sum().to_numpy() == pytest.approx(1)
    missed = row(table, "called_nothing", rater="b", label="liver")
    assert missed["value"] == pytest.approx(0.2, abs=0.08)
    assert missed["low"] < missed["value"] < missed["high"]
    assert row(table, "called_liver", rater="a", label="liver")["value"] > 0.95


def test_who_swaps_kidneys_is_seen_in_what_they_are_called():
    swapped = {"noise": 1.5, "swap": ("left_kidney", "right_kidney")}
    study = organ_study({**FAULTS, "d": {"noise": 1.5}, "bad": swapped}, cases=3, slices=12)
    table = measure_agreement(match(study), resampling=Resampling(n=0))

    for true, said in (("left_kidney", "right_kidney"), ("right_kidney", "left_kidney")):
        assert row(table, f"called_{said}", rater="bad", label=true)["value"] > 0.9
        assert row(table, f"called_{true}", rater="d", label=true)["value"] > 0.9


def test_two_raters_have_no_confusions():
    study = organ_study({"a": {}, "b": {}}, cases=2, slices=8)
    table = measure_agreement(match(study), resampling=Resampling(n=0))

    assert not table["measure"].str.startswith("called_").any()


def test_any_measure_has_an_interval_over_cases(study, table):
    data = presence(study, "liver")
    case = study.images["case"].to_numpy()
    known = row(table, "alpha_presence", label="liver")

    found = bootstrap(krippendorff_alpha, data, case, resampling=Resampling(n=200, seed=1))

    assert found == pytest.approx(tuple(known[["value", "low", "high", "n"]]))
    ordinal = bootstrap(lambda d: krippendorff_alpha(d, "ordinal"), data, case)
    assert ordinal.low < ordinal.value < ordinal.high
    gappy = data.copy()
    gappy[:2, 0] = np.nan  # one value says nothing about agreement
    assert bootstrap(gwet_ac1, gappy, case, resampling=Resampling(n=0)).n == data.shape[1] - 1
    assert np.isnan(bootstrap(gwet_ac1, data, np.zeros(len(case))).low)
    with pytest.raises(ValueError, match="case"):
        bootstrap(gwet_ac1, data, case[:-1])


def test_a_pair_by_hand(study, table):
    boxes = study.boxes.set_index(["case", "slice", "label"])[["rater", *BOX]]
    a, b = (boxes[boxes["rater"] == rater][BOX] for rater in "ab")
    both = a.merge(b, on=["case", "slice", "label"]).to_numpy()
    iou = paired_iou(both[:, :4], both[:, 4:])
    union = len(a) + len(b) - len(both)

    mean, f1 = (
        row(table, "pair_iou", rater="a", other="b"),
        row(table, "pair_f1", rater="a", other="b"),
    )

    assert (mean["value"], mean["n"]) == (pytest.approx(iou.sum() / union), union)
    assert f1["value"] == pytest.approx(2 * (iou >= 0.5).sum() / (len(a) + len(b)))


def test_parts_add_up_to_the_whole(table):
    whole = row(table, "mean_iou")
    for key in ("case", "label", "rater"):
        name = "rater_agreement" if key == "rater" else "mean_iou"
        parts = table[(table["measure"] == name) & (table[key] != "")]
        others = [other for other in ("case", "label", "rater") if other != key]
        parts = parts[(parts[others] == "").all(axis=1)]
        assert parts["n"].sum() == whole["n"]
        assert np.average(parts["value"], weights=parts["n"]) == pytest.approx(whole["value"])


def test_a_label_of_a_case_is_part_of_both(table):
    parts = table[(table["measure"] == "mean_iou") & (table[["case", "label"]] != "").all(axis=1)]

    assert len(parts) == 30
    for key in ("case", "label"):
        name = parts[key].iloc[0]
        mine = parts[parts[key] == name]
        whole = row(table, "mean_iou", **{key: name})
        assert np.average(mine["value"], weights=mine["n"]) == pytest.approx(whole["value"])


def test_intervals_hold_their_value_and_cases_have_none(table):
    told = table.dropna(subset=["low"])
    told = told[~told["measure"].str.startswith(("first", "last"))]
    assert ((told["low"] <= told["value"]) & (told["value"] <= told["high"])).mean() > 0.98
    assert table.loc[(table["case"] != "") & (table["measure"] == "mean_iou"), "low"].isna().all()


def test_first_and_last_slices_are_in_mm(study, table):
    ends = study.boxes.groupby(["case", "label", "rater"])["slice"].agg(["min", "max"])
    wide = ends.unstack("rater")  # noqa: PD010
    for end, measure in (("min", "first_slice_error"), ("max", "last_slice_error")):
        first = wide[end].to_numpy()
        away = [abs(first[:, k] - np.median(np.delete(first, k, axis=1), axis=1)) for k in range(3)]
        found = row(table, measure)
        assert found["unit"] == "mm"
        assert found["value"] == pytest.approx(3.0 * np.mean(away))


def test_edges_correlate_as_the_kernel_says(study, table):
    liver = study.boxes[study.boxes["label"] == "liver"]
    wide = liver.pivot_table(index=["case", "slice"], columns="rater", values="x0").dropna()

    found = row(table, "icc_x0", label="liver")

    assert found["n"] == len(wide)
    expected = icc(wide.to_numpy(), "2,1")
    assert tuple(found[["value", "low", "high"]]) == pytest.approx(expected)
    assert found["why"] == "raters a b c"


def test_without_spacing_extents_are_in_slices(study):
    images = study.images.assign(spacing_z=np.nan)
    blind = type(study)(
        study.name, study.labels, images, study.readings, study.boxes, single=study.single
    )
    table = measure_agreement(match(blind), resampling=Resampling(n=0))

    assert row(table, "first_slice_error")["unit"] == "slices"


def test_no_resample_gives_no_interval(study):
    table = measure_agreement(match(study), resampling=Resampling(n=0))

    assert table.loc[~table["measure"].str.startswith("icc"), "low"].isna().all()


@pytest.mark.parametrize(
    ("parts", "unit", "ends"),
    [
        ([[1.0], [1.0]], "1", (0, 1)),
        ([[1.0], [1.0]], "mm", (0, np.inf)),
        ([[-1.0], [1.0]], "mm", (-np.inf, np.inf)),
    ],
)
def test_intervals_end_where_values_must(parts, unit, ends):
    assert Summands(np.array([0]), tuple(map(np.array, parts))).range(unit) == ends
