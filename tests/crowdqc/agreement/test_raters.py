"""Scorecards: scores, verdicts and rows of raters, and that the tables conform."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crowdqc.agreement import Resampling, assess_raters, measure_agreement, review_raters
from crowdqc.agreement.mixed import Adjusted
from crowdqc.agreement.ratios import Ratio
from crowdqc.agreement.scores import Scores
from crowdqc.config import RaterLimits
from crowdqc.findings import read_reasons
from crowdqc.judge.policy import Policy, load_policy
from crowdqc.matching import match
from crowdqc.schema import TABLES
from tests.crowdqc.agreement.organs import (
    GOOD,
    NONE,
    judged,
    organ_study,
    review,
    swapped,
)
from tests.crowdqc.crowds import crowd_study
from tests.crowdqc.gold import f1_of_raters, gold_study


def scores(agreement, adjusted):
    """Scores of two raters: (value, error) of agreement and of adjusted agreement."""
    (value, error), (other, other_error) = np.array(agreement), np.array(adjusted)
    df, n = np.full(2, 1e6), np.full(2, 10.0)
    return Scores(
        agreement=Ratio(value, error, df, n),
        adjusted=Adjusted(other, other_error, other, other_error, 0.0, 0.0, 0.0),
        level=0.95,
    )


def test_a_verdict_rests_on_the_outer_bounds_for_all_raters_together():
    low, high = scores([[0.4, 0.7], [0.02, 0.02]], [[0.5, 0.6], [0.02, 0.02]]).simultaneous_bounds()
    reach = 2.2414 * 0.02  # normal quantile of 1 - .05 / 2 / 2

    assert low == pytest.approx([0.4 - reach, 0.6 - reach], abs=1e-4)
    assert high == pytest.approx([0.5 + reach, 0.7 + reach], abs=1e-4)


def test_who_got_the_hard_cases_is_judged_by_the_better_of_two_scores():
    best, best_low = scores([[0.4, 0.7], [0.02, 0.02]], [[0.5, 0.6], [0.02, 0.02]]).best()

    assert best.tolist() == [0.5, 0.7]
    assert best_low == pytest.approx([0.5 - 1.96 * 0.02, 0.7 - 1.96 * 0.02], abs=1e-4)


def test_sizes_and_shifts_are_in_px_and_mm():
    found = review({**GOOD, "bad": {"noise": 0.5, "shift": (6, -4), "scale": 1.0}})
    bad = found.raters.set_index("rater").loc["bad"]

    assert (bad["shift_x"], bad["shift_y"]) == pytest.approx((6, -4), abs=0.6)
    assert bad["bias_x1"] == pytest.approx(6, abs=0.6)
    assert bad["bias_y0_mm"] == pytest.approx(-4 * 0.8, abs=0.5)
    assert bad["size_ratio"] == pytest.approx(1, abs=0.03)
    assert bad["spread"] == pytest.approx(0.5, abs=0.6)


def test_a_size_is_a_ratio_of_lengths():
    found = review({**GOOD, "bad": {"noise": 0.5, "scale": 1.3}})
    bad = found.raters.set_index("rater").loc["bad"]

    assert bad["size_ratio"] == pytest.approx(1.3, abs=0.05)
    assert bad["faults"] == '["boxes-too-large"]'


def test_one_rater_per_label_has_no_scores_and_says_why():
    study = organ_study({"alone": {"noise": 1.5}}, cases=3)
    found = judged(assess_raters(match(study), resampling=NONE))
    row = found.raters.iloc[0]

    assert row[["agreement", "reliability", "miss_rate", "weight"]].isna().all()
    assert row["verdict"] == "review"
    assert "no slice was read by two raters for the same label" in row["reasons"]
    alpha = found.measurements.set_index("measure").loc[["mean_iou", "f1", "alpha_box"]]
    assert alpha["value"].isna().all()
    assert (alpha["why"] == "no slice was read by two raters for the same label").all()


def test_the_same_twice_is_the_same_to_the_byte():
    matched = match(organ_study({**GOOD, "bad": {"noise": 4.0, "miss": 0.2}}, cases=5, slices=10))
    once, again = (assess_raters(matched, resampling=Resampling(n=50)) for _ in range(2))

    assert once.raters.to_csv() == again.raters.to_csv()
    assert once.measurements.to_csv() == again.measurements.to_csv()
    assert [f.to_json() for f in once.findings] == [f.to_json() for f in again.findings]


def test_columns_of_the_tables_come_first():
    matched = match(organ_study(GOOD, cases=2, slices=8))
    found = assess_raters(matched, resampling=NONE)

    for table, name in ((found.raters, "raters"), (found.measurements, "measurements")):
        columns = [c.name for c in TABLES[name] if not c.extra or c.name in table]
        assert list(table.columns[: len(columns)]) == columns
    assert list(found.raters["rater"]) == list(GOOD)
    assert measure_agreement(matched, resampling=NONE).equals(found.measurements)


def test_who_drew_nothing_has_a_row():
    found = review({**GOOD, "idle": {"miss": 1.0}})
    idle = found.raters.set_index("rater").loc["idle"]

    assert (idle["n_boxes"], idle["miss_rate"], idle["verdict"]) == (0, 1.0, "reject")
    assert np.isnan(idle["extra_rate"])


@pytest.mark.parametrize("scope", ["study", "case"])
def test_who_only_opened_files_has_a_row_that_says_so(scope):
    study = organ_study({**GOOD, "good10": {"miss": 1.0}}, cases=2, slices=8)
    state = np.where(study.readings["rater"] == "good10", "opened", "boxed")
    idle = type(study)(
        study.name, study.labels, study.images, study.readings.assign(state=state), study.boxes,
        single=study.single, rater_scope=scope,
    )  # fmt: skip
    raters = judged(review_raters(match(idle), resampling=NONE)).raters
    rows = raters[raters["rater"].str.endswith("good10")]

    assert len(raters) == (5 if scope == "study" else 10)
    assert raters["rater"].iloc[-1].endswith("good10")  # in natural order
    assert rows["agreement"].isna().all()
    assert (rows["verdict"] == "review").all()
    assert rows["reasons"].str.contains("only opened").all()
    assert rows["n_slices"].dtype == np.int64


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        (("agreement_high_simultaneous", "<", 1.0, "reject"), "reject"),
        (("agreement", "<", 0.99, "review"), "review"),
        (("agreement", "<", 0.1, "reject"), "accept"),
        (("agreement", "<", 0.99, "note"), "accept"),
        (("gold_f1", "<", 0.1, "note"), "review"),
        (("coverage", "<", 0.8, "reject"), "accept"),
    ],
    ids=str,
)
def test_the_policy_gives_the_verdicts(rule, verdict):
    names = ("measure", "op", "limit", "severity")
    rules = [{"scope": "rater", "because": "so", **dict(zip(names, rule, strict=True))}]
    policy = Policy.model_validate({"rules": rules})
    study = organ_study({**GOOD, "bad": {"noise": 1.5}}, cases=3, slices=12)
    raters = judged(review_raters(match(study), resampling=NONE), policy).raters

    assert set(raters["verdict"]) == {verdict}
    measures = [[one.measure for one in read_reasons(cell)] for cell in raters["reasons"]]
    assert all(names == ([] if verdict == "accept" else [rule[0]]) for names in measures)


def test_a_semicolon_in_the_words_of_a_policy_stays_one_reason():
    rules = [
        {"scope": "rater", "measure": "n_boxes", "op": ">", "limit": 0, "severity": "review",
         "because": "first; 1 > 0: not second"},
        {"scope": "rater", "measure": "agreement", "op": "<=", "limit": 1, "severity": "reject",
         "because": "so; what"},
    ]  # fmt: skip
    study = organ_study(GOOD, cases=2, slices=8)
    found = judged(review_raters(match(study), resampling=NONE), Policy(rules=rules))

    for cell in found.raters["reasons"]:
        because = [one.because for one in read_reasons(cell)]
        assert because == ["so; what", "first; 1 > 0: not second"]  # the gravest first


@pytest.mark.parametrize("name", ["strict", "screening", "one_rater", "multi_instance"])
def test_who_swaps_labels_is_rejected_by_every_policy(name):
    path = Path(__file__).parents[3] / "configs" / f"policy_{name}.toml"
    study = organ_study(GOOD, cases=4, slices=16, alter={"good0": swapped(0.84)})
    found = judged(review_raters(match(study), resampling=NONE), load_policy(path)).raters

    swapper = found.set_index("rater").loc["good0"]
    assert swapper["verdict"] == "reject"
    assert "labels-swapped" in {reason.measure for reason in read_reasons(swapper["reasons"])}


def test_limits_are_the_study_files():
    study = organ_study({**GOOD, "bad": {"noise": 1.5, "miss": 0.25}}, cases=6, slices=16)
    limits = RaterLimits(miss=0.5)
    lenient = judged(review_raters(match(study), resampling=NONE, limits=limits))

    assert (lenient.raters["verdict"] == "accept").all()


def test_people_of_two_cases_are_not_one_where_the_study_says_so():
    study = organ_study({"0": {"noise": 1.0}, "1": {"noise": 1.0}}, cases=3, rater_scope="case")
    found = assess_raters(match(study), resampling=NONE)

    assert list(found.raters["rater"]) == [f"000{c}/{r}" for c in range(3) for r in range(2)]
    assert (found.raters["n_cases"] == 1).all()
    pairs = found.measurements.query("measure == 'pair_iou'")
    assert (pairs["rater"].str[:4] == pairs["other"].str[:4]).all()


def test_reliability_keeps_the_order_of_raters_with_more_and_more_noise():
    study, _ = crowd_study(2, sd=[1, 2, 4, 8, 16, 30], miss=[0, 0, 0.05, 0.1, 0.2, 0.4])
    raters = review_raters(match(study), resampling=NONE).raters

    assert raters["reliability"].rank(ascending=False).tolist() == pytest.approx(
        [1, 2, 3, 4, 5, 6], abs=1.5
    )
    assert raters["weight"].max() == 1
    assert (raters["reliability_low"] <= raters["reliability"]).all()


def test_reliability_without_gold_ranks_the_raters_of_a_real_crowd(data):
    study, gold = gold_study(data)
    raters = judged(review_raters(match(study), resampling=NONE)).raters.set_index("rater")
    truth = f1_of_raters(study, gold)
    both = truth.join(raters[["reliability", "verdict"]])

    assert both["f1"].corr(both["reliability"], method="spearman") >= 0.75
    many = both[both["images"] >= 5]
    assert many["f1"].corr(many["reliability"], method="spearman") >= 0.82
    worst = both[both["images"] >= 10].nsmallest(5, "f1")
    assert (worst["verdict"] != "accept").all()


@pytest.mark.parametrize("n", [2, 3])
def test_unread_is_not_empty(n):
    """Files that were only opened are not assigned; both readings are given."""
    study = organ_study({f"r{k}": {"noise": 1.0} for k in range(n)}, cases=2, slices=16)
    late = (study.readings["rater"] == "r0") & (study.readings["slice"] >= 8)
    readings = study.readings.assign(state=np.where(late, "opened", "boxed"))
    boxes = study.boxes[~((study.boxes["rater"] == "r0") & (study.boxes["slice"] >= 8))]
    half = type(study)(study.name, study.labels, study.images, readings, boxes, single=study.single)
    table = measure_agreement(match(half), resampling=NONE)
    whole = table[(table[["case", "label", "rater"]] == "").all(axis=1)].set_index("measure")

    assert whole.loc["mean_iou", "value"] > 0.85
    assert whole.loc["mean_iou_if_read", "value"] < 0.8
    assert whole.loc["alpha_box_if_read", "value"] < whole.loc["alpha_box", "value"]
    assert "vitality_if_read" not in table["measure"].to_numpy()


def test_gold_boxes_score_the_raters():
    faults = {**GOOD, "bad": {"noise": 1.5, "miss": 0.4}}
    study = organ_study(faults, cases=3, slices=12)
    gold = study.boxes[study.boxes["rater"] == "good3"]
    raters = review_raters(match(study), gold=gold, resampling=NONE).raters.set_index("rater")

    assert raters.loc["good3", ["gold_f1", "gold_iou"]].tolist() == [1.0, 1.0]
    assert raters.loc["good0", "gold_f1"] > 0.95
    drawn, wanted = (study.boxes["rater"] == "bad").sum(), len(gold)
    assert raters.loc["bad", "gold_f1"] == pytest.approx(2 * drawn / (drawn + wanted), abs=0.03)
    assert (raters["gold_f1_low"] <= raters["gold_f1"]).all()
    assert (raters["gold_places"] == 3 * 12 * 5).all()
    first = gold[gold["case"] == "0000"]
    raters = review_raters(match(study), gold=first, resampling=NONE).raters.set_index("rater")
    assert (raters["gold_places"] == 12 * 5).all()
    assert raters.loc["good3", "gold_f1"] == 1


def test_a_study_of_nothing_but_empty_slices():
    study = organ_study({"a": {"miss": 1.0}, "b": {"miss": 1.0}}, cases=2, slices=6)
    found = assess_raters(match(study), resampling=NONE)

    assert found.raters["agreement"].isna().all()
    assert isinstance(found.measurements, pd.DataFrame)
