"""Paired statistics against scipy, statsmodels, counting by hand, and published numbers."""

import itertools
import math
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from crowdqc.compare import compare, compare_files, compare_paired, compare_scores
from crowdqc.compare.paired import bootstrap_interval, holm
from crowdqc.findings import InputError
from crowdqc.schema import TABLES

dice = st.floats(0, 1, allow_nan=False).map(lambda x: round(x, 2))
pairs = st.lists(st.tuples(dice, dice), min_size=1, max_size=12).map(np.array)


def paired(a, b, seed=0):
    return compare_paired(a, b, rng=np.random.default_rng(seed))


def exact_p(difference):
    """Two-sided p of the signed-rank test by all 2^N signs."""
    nonzero = difference[difference != 0]
    ranks = stats.rankdata(np.abs(nonzero))
    centre = ranks.sum() / 2
    seen = abs(ranks[nonzero > 0].sum() - centre)
    signs = np.array(list(itertools.product([0, 1], repeat=len(nonzero))))
    return (np.abs(signs @ ranks - centre) >= seen - 1e-9).mean()


@settings(max_examples=15, deadline=None)
@given(pairs)
def test_the_p_value_is_that_of_all_signs(values):
    a, b = values.T
    result = paired(a, b)

    nonzero = (a != b).sum()
    if nonzero < 6:
        assert math.isnan(result.p)
        assert f"{nonzero} of {len(a)} differences are not zero" in result.why
    else:
        assert result.p == pytest.approx(exact_p(np.round(a - b, 12)))
        assert result.why == ""


@settings(max_examples=15, deadline=None)
@given(pairs)
def test_exchanging_the_sets_turns_every_sign(values):
    a, b = values.T
    one, other = paired(a, b), paired(b, a)

    np.testing.assert_allclose(one.difference, -other.difference)
    np.testing.assert_allclose(one.effect, -other.effect)
    np.testing.assert_allclose([one.p, one.detectable], [other.p, other.detectable])
    assert one.mean_a == other.mean_b


def test_the_effect_is_one_where_every_pair_agrees_and_counts_by_hand_otherwise():
    # Ranks of |d| = .1 .2 .3 .4 are 1 2 3 4; W+ = 1 + 2 + 4, W- = 3: (7 - 3) / 10.
    assert paired([0.1, 0.2, 0.0, 0.4], [0.0, 0.0, 0.3, 0.0]).effect == pytest.approx(0.4)
    assert paired([0.5, 0.6], [0.4, 0.2]).effect == 1
    assert paired([0.5, 0.6, 0.5], [0.4, 0.2, 0.5]).effect == 1  # a zero counts for nobody


def test_the_half_width_uses_the_population_sd():
    # SD of 1, 3 about their mean is 1 (population), 1.41 (sample).
    assert paired([1, 3], [0, 0]).ci_a == pytest.approx(1.96 / math.sqrt(2))


def test_the_bootstrap_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(11)
    covered = 0
    for _ in range(300):
        low, high = bootstrap_interval(rng.normal(0.3, 1.0, size=30), rng=rng, resamples=500)
        covered += low <= 0.3 <= high

    assert 270 <= covered <= 297  # 285 expected; binomial SD 3.8


def test_the_detectable_difference_is_found_four_times_in_five():
    rng = np.random.default_rng(3)
    n, sd = 20, 0.05
    detectable = TTestPower().solve_power(nobs=n * 3 / np.pi, alpha=0.05, power=0.8) * sd
    draws = rng.normal(detectable, sd, size=(2000, n))
    found = stats.wilcoxon(draws, axis=1).pvalue < 0.05

    assert found.mean() == pytest.approx(0.8, abs=0.03)
    values = draws[0]
    expected = detectable / sd * np.std(values, ddof=1)
    assert paired(values, np.zeros(n)).detectable == pytest.approx(expected)


@pytest.mark.parametrize(
    ("a", "b", "nans"),
    [
        ([], [], {"mean_a", "ci_a", "difference", "low", "p", "effect", "shapiro_p", "detectable"}),
        ([0.5], [0.4], {"low", "high", "p", "shapiro_p", "detectable"}),
        ([0.5] * 9, [0.5] * 9, {"p", "statistic", "effect", "shapiro_p"}),
        ([0.75] * 9, [0.5] * 9, {"shapiro_p"}),
    ],
    ids=["none", "one", "all the same", "all differ alike"],
)
def test_what_cannot_be_had_is_nan_without_a_warning(a, b, nans):
    result = vars(paired(a, b))

    missing = {name for name, value in result.items() if value != value}  # noqa: PLR0124
    assert nans <= missing
    assert bool(result["why"]) == ("p" in missing)
    if len(a) > 1:
        assert missing == nans


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="'b' must be finite"):
        paired([0.1, 0.2], [0.1, np.nan])
    with pytest.raises(ValueError, match="one length; got 2 and 1"):
        paired([0.1, 0.2], [0.1])


@settings(max_examples=10, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_the_definition(p):
    p = np.array(p)
    order = np.argsort(p, kind="stable")
    expected, worst = np.empty(len(p)), 0.0
    for place, row in enumerate(order):
        worst = max(worst, min(1.0, (len(p) - place) * p[row]))
        expected[row] = worst

    np.testing.assert_allclose(holm(p), expected)


WIDE_A = pd.DataFrame(
    {"path": ["x", "y", "z"], "liver": [0.9, 0.8, 0.7], "aorta": [0.5, np.nan, 0.6]}
)
WIDE_B = pd.DataFrame(
    {"path": ["z", "y", "w"], "liver": [0.6, 0.6, 0.1], "aorta": [0.4, np.nan, 0.2]}
)


def test_rows_are_paired_by_key_whatever_their_order():
    table, findings = compare(WIDE_A, WIDE_B, on=["path"], names=("new", "old"))

    table = table.set_index("label")
    assert list(table.index) == ["liver", "aorta", "overall"]
    assert table.loc["liver", ["n", "mean_a", "mean_b"]].tolist() == pytest.approx([2, 0.75, 0.6])
    assert table.loc["aorta", ["n", "mean_a", "mean_b"]].tolist() == pytest.approx([1, 0.6, 0.4])
    # overall: pair y has the liver alone, pair z both.
    assert table.loc["overall", "difference"] == pytest.approx((0.2 + (0.65 - 0.5)) / 2)
    assert [f.check for f in findings] == ["comparison-unpaired", "comparison-unpaired"]
    assert (
        "1 of 3 rows of new have no partner in old and are not compared: x." in findings[0].message
    )
    assert "w." in findings[1].message


def test_a_value_on_one_side_only_is_told():
    gone = WIDE_B.assign(liver=[np.nan, 0.6, 0.1])

    table, findings = compare(WIDE_A, gone, on=["path"], names=("new", "old"))

    assert table.loc[table["label"] == "liver", "n"].item() == 1
    told = [f for f in findings if f.check == "comparison-one-sided"]
    assert [(f.label, f.value) for f in told] == [("liver", 1.0)]
    assert "old has no finite value for 1 of 2 pairs" in told[0].message


def test_long_tables_compare_by_label_and_the_columns_are_those_of_the_schema():
    long = WIDE_A.melt("path", var_name="organ", value_name="dice")

    by_label, _ = compare(long, long.assign(dice=long["dice"] / 2), on=["path"], label="organ")
    wide, _ = compare(
        WIDE_A, WIDE_A.assign(liver=WIDE_A.liver / 2, aorta=WIDE_A.aorta / 2), on=["path"]
    )

    pd.testing.assert_frame_equal(by_label, wide)
    assert list(wide.columns) == [column.name for column in TABLES["comparison"]]


def test_several_columns_of_a_long_table_are_named_label_and_column():
    long = pd.DataFrame({"case": ["1", "1"], "label": ["liver", "aorta"], "dice": 0.5, "nsd": 0.7})

    table, _ = compare(long, long, on=["case"], label="label")

    assert table["label"].tolist() == [
        "liver|dice", "aorta|dice", "liver|nsd", "aorta|nsd", "overall|dice", "overall|nsd",
    ]  # fmt: skip


def test_two_runs_are_alike_and_another_seed_moves_the_interval_only():
    rng = np.random.default_rng(0)
    a = pd.DataFrame({"case": range(20), "dice": rng.random(20)})
    b = a.assign(dice=rng.random(20))

    one, same, other = (compare(a, b, on=["case"], seed=seed)[0] for seed in (1, 1, 2))

    pd.testing.assert_frame_equal(one, same)
    assert (one["low"] != other["low"]).all()
    pd.testing.assert_frame_equal(
        one.drop(columns=["low", "high"]), other.drop(columns=["low", "high"])
    )


@pytest.mark.parametrize(
    ("a", "b", "on", "says"),
    [
        (WIDE_A, WIDE_B, ["case"], r"new: has no column \['case'\]"),
        (pd.concat([WIDE_A, WIDE_A]), WIDE_B, ["path"], "'path': 'x'.* more than once .3 rows"),
        (WIDE_A[["path"]], WIDE_B, ["path"], "share no numeric column"),
        (WIDE_A, WIDE_B.assign(path=["q", "r", "s"]), ["path"], "no row in common"),
    ],
    ids=["no key", "twice", "no number", "no pair"],
)
def test_tables_that_cannot_be_compared_are_refused(a, b, on, says):
    with pytest.raises(InputError, match=says):
        compare(a, b, on=on, names=("new", "old"))


def scores(set_name, values):
    rows = [(set_name, case, np.nan, label, value) for (case, label), value in values.items()]
    rows.append((set_name, "1", 4, "liver", 0.0))  # a slice
    return pd.DataFrame(rows, columns=["set", "case", "slice", "label", "dice"])


def test_scores_are_compared_by_volume():
    table = pd.concat(
        [
            scores("filtered", {("1", "liver"): 0.9, ("2", "liver"): 0.8}),
            scores("unfiltered", {("1", "liver"): 0.7, ("2", "liver"): 0.7}),
        ]
    )

    result, findings = compare_scores(table, names=("filtered", "unfiltered"))

    assert findings == []
    assert result.loc[0, ["a", "b", "n"]].tolist() == ["filtered", "unfiltered", 2]
    assert result.loc[0, "difference"] == pytest.approx(0.15)


def test_a_set_without_scores_is_a_finding_not_a_crash():
    table, findings = compare_scores(scores("filtered", {}), names=("filtered", "unfiltered"))

    assert table.empty
    assert findings[0].check == "comparison-empty"


def test_files_keep_keys_as_text(tmp_path):
    (tmp_path / "a.csv").write_text("case,dice\n0001,0.5\n1,0.7\n")
    (tmp_path / "b.csv").write_text("case,dice\n1,0.6\n0001,0.4\n")

    table, findings = compare_files([tmp_path / "a.csv", tmp_path / "b.csv"], on=["case"])

    assert findings == []
    assert table.loc[0, ["label", "a", "b", "n"]].tolist() == ["dice", "a", "b", 2]
    assert table.loc[0, "difference"] == pytest.approx(0.1)


def test_one_file_needs_two_groups(tmp_path):
    file = tmp_path / "all.csv"
    file.write_text("model,case,dice\nm,1,0.5\nn,1,0.4\no,1,0.3\n")

    with pytest.raises(InputError, match=r"'model' must have two values to compare; got 3"):
        compare_files([file], on=["case"], by="model")
    with pytest.raises(InputError, match=re.escape("two files, or one file and --by COLUMN")):
        compare_files([file], on=["case"])
    with pytest.raises(InputError, match=r"none\.csv: cannot be read"):
        compare_files([tmp_path / "none.csv"], on=["case"], by="model")


def test_the_study_s_result_comes_out_again(data):
    # Kulkarni et al. 2024 (arXiv:2403.15218), BTCV: dropping 4 of 15 incompletely annotated
    # volumes raised the mean Dice from 0.77 to 0.80, p = .008; expert masks 0.91 and 0.90.
    folder = data / "btcv_crowd" / "results" / "BTCV"
    both = [folder / "SAM-nnunet-15-pred.csv", folder / "SAM-nnunet-11-pred.csv"]

    table, findings = compare_files(both, on=["path"])

    assert findings == []
    overall = table.set_index("label").loc["overall"]
    assert (overall["n"], round(overall["mean_a"], 2), round(overall["mean_b"], 2)) == (
        15,
        0.77,
        0.80,
    )
    assert round(overall["p"], 3) == 0.008
    expected = multipletests(table["p"][:-1], method="holm")[1]
    np.testing.assert_allclose(table["p_holm"][:-1], expected)
    assert math.isnan(overall["p_holm"])  # it is not one of the labels that are corrected for
    expert, _ = compare_files([p.with_name(p.name.replace("SAM", "GT")) for p in both], on=["path"])
    assert [round(x, 2) for x in expert.iloc[-1][["mean_a", "mean_b"]]] == [0.91, 0.90]


def test_two_models_in_one_file_are_compared(data):
    file = data / "btcv_crowd" / "results" / "BTCV" / "volume_dice.csv"

    table, findings = compare_files([file], on=["path"], by="model")

    assert findings == []
    assert table["a"].unique().tolist() == ["SAM-vit_h"]
    frame = pd.read_csv(file).pivot_table("liver_dice", "path", "model")
    expected = stats.wilcoxon(frame["SAM-vit_h"], frame["MedSAM-vit_b"])
    liver = table.set_index("label").loc["liver_dice"]
    assert (liver["statistic"], liver["p"]) == pytest.approx(tuple(expected))


def test_differences_that_floats_alone_tell_apart_are_ties():
    # .9 - .8 and .5 - .4 differ in the last bits; the p of all signs of tied ranks by hand below.
    a = np.array([0.9, 0.5, 0.3, 0.7, 0.6, 0.8, 0.2, 0.9])
    b = np.array([0.8, 0.4, 0.2, 0.6, 0.5, 0.7, 0.3, 0.8])
    assert len(np.unique(np.abs(a - b))) > 1

    result = paired(a, b)

    # Ranks are all 4.5: as extreme as one of eight are 0, 1, 7 and 8 positive signs: 18 of 256.
    assert result.p == pytest.approx(18 / 256)
    assert result.effect == pytest.approx(6 / 8)


MIXED = pd.DataFrame(
    {
        "case": [f"c{k // 2}" for k in range(16)],
        "label": ["liver", "spleen"] * 8,
        "dice": np.linspace(0.7, 0.9, 16),
        "surface_dice": np.linspace(0.6, 0.8, 16),
        "hd95_mm": np.linspace(9, 3, 16),
    }
)


def test_each_measure_has_its_own_mean_over_labels():
    better = MIXED.assign(dice=MIXED["dice"] + 0.01, hd95_mm=MIXED["hd95_mm"] - 1)

    table, _ = compare(MIXED, better, on=["case"], label="label")

    overall = table[table["label"].str.startswith("overall")].set_index("label")
    assert list(overall.index) == ["overall|dice", "overall|surface_dice", "overall|hd95_mm"]
    np.testing.assert_allclose(overall["difference"], [-0.01, 0, 1], atol=1e-12)
    assert (overall["n"] == 8).all()
    assert overall["p_holm"].isna().all()


@pytest.mark.parametrize(
    ("columns", "overall"),
    [
        (["dice", "hd95_mm"], []),
        (["liver", "spleen"], ["overall"]),
        (["liver_dice", "spleen_dice"], ["overall"]),
        (["liver_dice", "spleen_dice", "liver_hd95_mm"], ["overall|dice"]),
        (["liver", "volume_ml"], []),
    ],
)
def test_without_labels_only_columns_of_one_measure_are_averaged(columns, overall):
    values = {name: np.arange(8) / (10 if "m" not in name else 1) for name in columns}
    a = pd.DataFrame({"case": list("abcdefgh"), **values})

    table, _ = compare(a, a, on=["case"])

    assert [name for name in table["label"] if name.startswith("overall")] == overall


@pytest.fixture
def both():
    """Scores of six volumes with four slices each, in two sets."""
    rng = np.random.default_rng(0)
    rows = [
        (name, f"c{case}", where, "liver", rng.uniform(0.7, 0.9))
        for name in ("a", "b")
        for case in range(6)
        for where in (None, 0, 1, 2, 3)
    ]
    return pd.DataFrame(rows, columns=["set", "case", "slice", "label", "dice"])


def test_volumes_are_compared_with_volumes_and_slices_only_where_asked_for(both, tmp_path):
    both.to_csv(tmp_path / "scores.csv", index=False)

    table, told = compare_files([tmp_path / "scores.csv"], by="set", on=["case"], label="label")

    assert table["n"].tolist() == [6, 6]
    assert [one.check for one in told] == ["comparison-slices"]
    assert "Left out: 24 rows of single slices" in told[0].message
    table, told = compare_files(
        [tmp_path / "scores.csv"], by="set", on=["case", "slice"], label="label"
    )
    assert table["n"].tolist() == [24, 24]
    assert [one.check for one in told] == ["comparison-slices", "comparison-dependent"]
    assert "24 pairs come from 6 values of 'case'" in told[1].message
