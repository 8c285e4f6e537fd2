import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdqc.findings import Finding, Reason, Severity, Verdict, Where
from crowdqc.judge import (
    Policy,
    box_measures,
    decide,
    judged_findings,
    label_measures,
    load_policy,
    rater_measures,
    rater_runs,
    slice_measures,
    with_counts,
    withheld_findings,
)
from crowdqc.judge.explain import explain
from crowdqc.judge.policy import Judged
from tests.crowdqc.judge.tables import (
    RATERS,
    completeness,
    consensus,
    measures,
    policy,
    told,
    whole,
)

PLACE = {"case": "1", "slice": 3, "label": "liver"}
FEW_SLICES = ("label", "n_slices", "<", 3, "reject")


def one_short(n=1):
    """Everything fine, but the spleen of case 2 has few boxes."""
    boxes, runs = whole()
    short = (boxes["case"] == "2") & (boxes["label"] == "spleen") & (boxes["slice"] >= n)
    return boxes[~short], runs


def test_a_good_study_is_accepted():
    decision = decide(load_policy(), measures(*whole()))

    assert decision.verdict is Verdict.ACCEPT
    assert decision.study.reasons == []
    assert {one.verdict for one in decision.labels.values()} == {Verdict.ACCEPT}


def test_a_rule_fires_with_its_reason():
    decision = decide(policy(FEW_SLICES), measures(*one_short()))

    judged = decision.labels["2", "spleen"]
    assert judged.verdict is Verdict.REJECT
    assert judged.reasons == [
        Reason(
            measure="n_slices", value=1.0, op="<", limit=3.0, unit="slices", because="so",
            where=Where(case="2", label="spleen"),
        )
    ]  # fmt: skip
    assert decision.labels["1", "spleen"].verdict is Verdict.ACCEPT


@pytest.mark.parametrize(("exclude", "case"), [("case", "reject"), ("label", "review")])
def test_a_rejected_label_takes_its_case_with_it_or_not(exclude, case):
    decision = decide(policy(FEW_SLICES, exclude=exclude), measures(*one_short()))

    assert decision.cases["2"].verdict == case
    assert decision.cases["1"].verdict is Verdict.ACCEPT
    assert told(decision.cases["2"].reasons, case="2")[0] == "spleen: so (n_slices 1 < 3)"


@pytest.mark.parametrize("measure", ["swapped_share", "length_ratio"])
def test_a_rule_that_cannot_be_asked_is_a_review(measure):
    found = measures(*whole())
    found["label"] = found["label"].drop(columns="swapped_share")
    decision = decide(policy(("label", measure, "<", 0, "note")), found)

    assert decision.labels["1", "liver"].verdict is Verdict.REVIEW
    assert decision.labels["1", "liver"].reasons[0].unknown
    assert decision.verdict is Verdict.REVIEW


def with_needs(scope, measure, **needs):
    rule = {"scope": scope, "measure": measure, "op": "<", "limit": 99, "severity": "reject"}
    return Policy(rules=[{**rule, "because": "so", "needs": needs}])


def test_a_rule_is_asked_only_where_enough_is_known():
    boxes, runs = one_short(n=1)
    found = measures(boxes, runs)
    decision = decide(with_needs("label", "coverage", n_slices=2), found)

    assert decision.labels["2", "spleen"].reasons == []  # one slice
    assert decision.labels["1", "spleen"].verdict is Verdict.REJECT
    nothing = decide(with_needs("label", "coverage", length_ratio=0.5), found)
    assert nothing.labels["1", "spleen"].reasons == []  # what is needed is not known itself


def test_boxes_of_which_too_little_is_known_are_not_asked_about():
    boxes, runs = whole()
    boxes.loc[0, "n_raters"] = 1
    tables = measures(boxes, runs) | {"box": box_measures(boxes)}
    decision = decide(with_needs("box", "score", n_raters=2), tables)

    assert len(decision.fine["box"]) == len(boxes) - 1
    assert decision.withheld(boxes).tolist() == [False] + [True] * (len(boxes) - 1)


def test_a_policy_may_say_how_grave_a_check_is():
    found = [Finding(check="organ-gap", message="x", case="1", label="liver")]
    milder = policy(FEW_SLICES, severities={"organ-gap": "note"})
    graver = policy(FEW_SLICES, severities={"organ-gap": "reject"})

    verdicts = [
        decide(one, measures(*whole()), one.weigh(found)).labels["1", "liver"].verdict.value
        for one in (policy(FEW_SLICES), milder, graver)
    ]
    assert verdicts == ["review", "accept", "reject"]


def test_a_note_changes_nothing():
    decision = decide(policy(("label", "n_slices", ">", 0, "note")), measures(*whole()))

    assert decision.verdict is Verdict.ACCEPT
    assert decision.labels["1", "liver"].reasons == []


def test_the_gravest_reason_comes_first():
    rules = [("label", "n_slices", "<", 9, "review"), FEW_SLICES]

    decision = decide(policy(*rules), measures(*one_short()))

    assert decision.labels["2", "spleen"].reasons[0].limit == 3


def test_grave_reasons_come_first_each_kind_as_it_came():
    judged = Judged()
    severities = {"n": Severity.NOTE, "r": Severity.REVIEW, "R": Severity.REJECT}
    for severity, name in zip("nrRrRR", "abcdef", strict=True):
        judged.add(severities[severity], Reason(measure=name, because="so"))

    assert judged.verdict is Verdict.REJECT
    assert [reason.measure for reason in judged.reasons] == list("cefbd")


def test_without_rules_for_the_study_one_rejected_case_rejects_it():
    assert decide(policy(FEW_SLICES), measures(*one_short())).verdict is Verdict.REJECT


@pytest.mark.parametrize(("limit", "verdict"), [(0.4, "reject"), (0.5, "review")])
def test_a_study_may_pass_without_a_few_cases(limit, verdict):
    rules = [FEW_SLICES, ("study", "cases_rejected_share", ">", limit, "reject")]

    decision = decide(policy(*rules), measures(*one_short()))

    assert decision.verdict == verdict
    assert "1 of 2 cases rejected" in told(decision.study.reasons)


def test_a_rejected_rater_can_be_left_out():
    rules = [("rater", "agreement_low", "<", 0.75, "reject")]

    decision = decide(policy(*rules), measures(*whole()))

    assert decision.raters["b"].verdict is Verdict.REJECT
    assert decision.verdict is Verdict.REVIEW


@pytest.mark.parametrize(
    ("n_others", "says"), [(0, "no slice was read by two"), (2, "nobody who read the same slices")]
)
def test_who_has_no_agreement_is_told_the_cause(n_others, says):
    raters = RATERS.assign(agreement=[np.nan, 0.8], n_others=n_others)
    rules = [("rater", "agreement", "<", 0.5, "reject")]

    decision = decide(policy(*rules), measures(*whole(), raters))

    assert decision.raters["a"].verdict is Verdict.REVIEW
    assert [one.because.startswith(says) for one in decision.raters["a"].reasons] == [True]
    assert decision.raters["b"].reasons == []


def test_a_study_without_boxes_is_rejected():
    boxes, runs = whole()

    decision = decide(load_policy(), measures(boxes.iloc[:0], runs.iloc[:0], RATERS.iloc[:0]))

    assert decision.verdict is Verdict.REJECT
    assert told(decision.study.reasons) == ["there is no box that may be used"]


def find(severity="reject", **place):
    return Finding(check="x", severity=Severity(severity), message="bad", **place)


@pytest.mark.parametrize(
    ("place", "unit", "verdict"),
    [
        ({"case": "1", "label": "liver"}, ("labels", ("1", "liver")), "reject"),
        ({"case": "1"}, ("cases", "1"), "reject"),
        ({"case": "1", "rater": "a"}, ("cases", "1"), "review"),
        ({"case": "1", "label": "liver", "rater": "a"}, ("labels", ("1", "liver")), "review"),
        ({"rater": "a"}, ("raters", "a"), "reject"),
        ({}, None, "reject"),
    ],
)
def test_a_finding_counts_where_it_belongs(place, unit, verdict):
    decision = decide(load_policy(), measures(*whole()), [find(**place)])

    judged = getattr(decision, unit[0])[unit[1]] if unit else decision.study
    assert judged.verdict == verdict
    assert [(one.measure, one.because) for one in judged.reasons] == [("x", "bad")]
    assert judged.reasons[0].where == Where(**place)


def test_a_finding_about_something_else_is_no_error():
    decision = decide(load_policy(), measures(*whole()), [find(case="9"), find(rater="z")])

    assert decision.verdict is Verdict.ACCEPT


places = st.fixed_dictionaries(
    {},
    optional={
        "case": st.sampled_from(["1", "2", "9"]),
        "label": st.sampled_from(["liver", "spleen", "x"]),
        "rater": st.sampled_from(["a", "b", "z"]),
    },
)
some_findings = st.lists(
    st.builds(lambda severity, place: find(severity, **place), st.sampled_from(Severity), places),
    max_size=5,
)
scope_rules = st.sampled_from(
    [
        FEW_SLICES,
        ("label", "coverage", "<", 2, "review"),
        ("case", "n_absent", ">", 0, "reject"),
        ("study", "cases_rejected_share", ">", 0.4, "reject"),
        ("study", "n_cases_kept", "<", 2, "reject"),
        ("study", "raters_rejected_share", ">=", 0.5, "review"),
        ("rater", "agreement_low", "<", 0.75, "reject"),
    ]
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(scope_rules, min_size=1, max_size=4),
    st.sampled_from(["case", "label"]),
    some_findings,
    some_findings,
    st.sampled_from([whole(), one_short()]),
)
def test_more_findings_never_make_a_verdict_milder(rules, exclude, some, more, tables):
    made = policy(*rules, exclude=exclude)
    before = decide(made, measures(*tables), some)
    after = decide(made, measures(*tables), [*some, *more])

    assert after.verdict.rank >= before.verdict.rank
    for kind in ("raters", "labels", "cases"):
        for unit, judged in getattr(before, kind).items():
            assert getattr(after, kind)[unit].verdict.rank >= judged.verdict.rank
    assert not (after.usable(tables[0]) & ~before.usable(tables[0])).any()


def test_the_verdict_does_not_depend_on_the_order_of_findings():
    found = [find(case="1"), find("review", case="2", label="liver"), find("note", rater="a")]

    decisions = [decide(load_policy(), measures(*whole()), f) for f in (found, found[::-1])]

    assert decisions[0].verdict is decisions[1].verdict
    assert [v.verdict for v in decisions[0].labels.values()] == [
        v.verdict for v in decisions[1].labels.values()
    ]


def test_boxes_that_spread_are_withheld():
    boxes, runs = whole()
    boxes.loc[3, "spread_x0"] = 50.0
    rules = [("box", "spread", ">", 20, "reject")]

    decision = decide(policy(*rules), measures(boxes, runs) | {"box": box_measures(boxes)})

    assert np.flatnonzero(~decision.usable(boxes)).tolist() == [3]
    assert told(decision.fine["box"]["reasons"].iloc[0], **PLACE) == ["so (spread 50 > 20)"]
    assert told(decision.labels["1", "liver"].reasons, case="1", label="liver") == [
        "1 box rejected"
    ]
    assert decision.labels["1", "liver"].verdict is Verdict.REVIEW


@pytest.mark.parametrize("scope", ["box", "slice"])
def test_a_label_of_which_every_box_is_withheld_is_rejected(scope):
    boxes, runs = whole()
    liver = (boxes["label"] == "liver") & (boxes["case"] == "1")
    boxes.loc[liver, ["spread_x0", "score"]] = [50.0, 0.2]
    if scope == "slice":
        boxes.loc[boxes["case"] == "1", "score"] = 0.2
    rule = {"box": ("box", "spread", ">", 20), "slice": ("slice", "score", "<", 0.5)}[scope]
    tables = measures(boxes, runs) | {"box": box_measures(boxes), "slice": slice_measures(boxes)}

    decision = decide(policy((*rule, "reject"), exclude="label"), tables)

    assert decision.labels["1", "liver"].verdict is Verdict.REJECT
    reasons = told(decision.labels["1", "liver"].reasons, case="1", label="liver")
    assert f"no box is left that may be used: {liver.sum()} boxes withheld" in reasons
    others = {unit: one.verdict for unit, one in decision.labels.items() if unit[0] != "1"}
    assert Verdict.REJECT not in others.values()
    part = decide(policy((*rule[:3], 60 if scope == "box" else 0.1, "reject")), tables)
    assert part.labels["1", "liver"].verdict is not Verdict.REJECT


def test_a_box_is_told_only_the_rules_that_fire_for_it():
    boxes, runs = whole()
    boxes.loc[3, "spread_x0"] = 50.0
    rules = [("box", "spread", ">", 20, "review"), ("box", "spread", ">", 60, "reject")]

    decision = decide(policy(*rules), measures(boxes, runs) | {"box": box_measures(boxes)})

    assert told(decision.fine["box"]["reasons"].iloc[0], **PLACE) == ["so (spread 50 > 20)"]


def test_boxes_of_a_bad_slice_are_withheld():
    boxes, runs = whole()
    boxes.loc[boxes["slice"] == 2, "score"] = 0.2
    rules = [("slice", "score", "<", 0.5, "reject")]

    decision = decide(policy(*rules), measures(boxes, runs) | {"slice": slice_measures(boxes)})

    assert (decision.usable(boxes) == (boxes["slice"] != 2)).all()
    assert told(decision.cases["1"].reasons, case="1") == ["1 slice rejected"]


@pytest.mark.parametrize("rule", [("box", "spread", ">", 20), ("slice", "score", "<", 0.5)])
def test_who_drew_a_box_that_is_withheld_has_to_look_again(rule):
    boxes, runs = whole()
    boxes.loc[[1, 2], "spread_x0"] = 99.0
    boxes.loc[boxes["slice"].isin([1, 2]) & (boxes["case"] == "1"), "score"] = 0.1
    liver = boxes[(boxes["label"] == "liver") & (boxes["case"] == "1")]
    drawn = pd.concat([liver.assign(rater="a"), liver.assign(rater="b", x0=9.0, x1=30.0)])
    drawn = pd.concat([drawn, liver.assign(rater="c", x0=20.0, x1=30.0)], ignore_index=True)
    known = measures(boxes, runs) | {"slice": slice_measures(boxes)}
    decision = decide(policy((*rule, "reject")), known)

    found = withheld_findings(decision, boxes, drawn)

    assert [(one.check, one.case, one.label, one.rater, one.slices) for one in found] == [
        ("box-withheld", "1", "liver", rater, "1-2") for rater in "ab"
    ]
    assert withheld_findings(decide(policy((*rule, "review")), known), boxes, drawn) == []


def test_a_bad_mask_asks_for_a_review_of_its_label():
    boxes, runs = whole()
    risk = pd.DataFrame({"case": ["1", "1"], "slice": [0, 1], "label": "liver", "risk": [0.9, 0.1]})
    rules = [("mask", "risk", ">", 0.5, "reject")]

    decision = decide(policy(*rules), measures(boxes, runs) | {"mask": risk})

    assert decision.fine["mask"]["slice"].tolist() == [0]
    assert decision.labels["1", "liver"].verdict is Verdict.REVIEW
    assert decision.usable(boxes).all()


def test_rules_for_masks_wait_until_there_are_masks():
    decision = decide(policy(("mask", "risk", ">", 0.5, "reject")), measures(*whole()))

    assert decision.verdict is Verdict.ACCEPT
    assert "mask" not in decision.fine


@pytest.mark.parametrize("scope", ["box", "slice"])
def test_rules_for_boxes_and_slices_that_were_not_measured_are_a_review(scope):
    known = measures(*whole())
    known.pop(scope, None)
    decision = decide(policy((scope, "score", "<", 0.5, "reject")), known)

    assert decision.verdict is Verdict.REVIEW
    assert f"rules for each {scope}" in decision.study.reasons[0].because


def test_a_box_of_which_the_measure_is_not_known_is_a_review():
    boxes, runs = whole()
    boxes[["spread_x0", "spread_y0", "spread_x1", "spread_y1"]] = np.nan

    decision = decide(
        policy(("box", "spread", ">", 20, "reject")),
        measures(boxes, runs) | {"box": box_measures(boxes)},
    )

    assert set(decision.fine["box"]["verdict"]) == {"review"}
    assert decision.usable(boxes).all()


def test_measures_of_labels():
    boxes = consensus(
        [
            ("1", 2, "liver", "agreed"),
            ("1", 5, "liver", "agreed"),
            ("1", 3, "liver", "no_consensus"),
        ]
    )
    runs = completeness(
        [
            ("1", "liver", "a", "partial", 2, 0.4, "high", "run-truncated"),
            ("1", "liver", "b", "partial", 2, 0.6, "", "labels-swapped"),
            ("1", "spleen", "a", "missing", 0, 0.0, "", "organ-missing"),
            ("1", "spleen", "b", "unread", 0, np.nan, "", "case-unread"),
            ("1", "cyst", "a", "complete", 0, np.nan, "", ""),
        ]
    )

    runs.loc[0, "gap_slices"] = "4"
    found = label_measures(boxes, runs).loc["1"]

    liver, spleen, cyst = (found.loc[label] for label in ("liver", "spleen", "cyst"))
    assert (liver["n_slices"], liver["n_gaps"], liver["gap_share"]) == (2, 2, 0.5)
    assert (liver["absent"], liver["coverage"]) == (0, 0.6)
    assert (liver["truncated_share"], liver["swapped_share"]) == (0.5, 0.5)
    assert liver["agreed_share"] == pytest.approx(2 / 3)
    assert (spleen["absent"], spleen["coverage"], spleen["n_slices"]) == (1, 0, 0)
    assert (cyst["absent"], cyst["coverage"], cyst["agreed_share"]) == (0, 1, 1)


def test_measures_of_raters():
    runs = completeness(
        [
            ("1", "liver", "a", "complete", 2, 1.0, "", ""),
            ("1", "liver", "b", "partial", 2, 0.5, "", ""),
            ("2", "liver", "a", "complete", 2, 0.8, "", ""),
        ]
    )

    found = rater_runs(runs)

    assert found.loc["a", ["coverage", "single_rater_share"]].tolist() == [pytest.approx(0.9), 0.5]
    assert found.loc["b", ["coverage", "single_rater_share"]].tolist() == [0.5, 0.0]
    assert rater_measures(RATERS).loc["b"].to_dict() == RATERS.iloc[1].drop("rater").to_dict()


def test_the_fault_of_one_rater_of_several_is_no_fault_of_the_label():
    runs = completeness(
        [
            ("1", "liver", "a", "partial", 2, 1.0, "", ""),
            ("1", "liver", "b", "complete", 2, 1.0, "", ""),
            ("1", "spleen", "a", "partial", 2, 1.0, "", ""),
            ("1", "spleen", "b", "missing", 0, 0.0, "", ""),
        ]
    )
    found = [
        find(case="1", label="liver", rater="a"),
        find(case="1", label="spleen", rater="a"),
        find(case="1", rater="a"),
        find(case="1", label="liver"),
        find(rater="a"),
    ]

    judged = judged_findings(found, runs)

    assert [f.severity.value for f in judged] == ["note", "reject", "reject", "reject", "reject"]


def test_an_organ_that_two_of_three_drew_and_the_third_missed_is_covered():
    boxes, _ = whole(cases=["1"], labels=["liver"], n=2)
    runs = completeness(
        [
            ("1", "liver", "a", "complete", 2, np.nan, "", ""),
            ("1", "liver", "b", "complete", 2, np.nan, "", ""),
            ("1", "liver", "c", "missing", 0, 0.0, "", ""),
        ]
    )
    runs["slices_expected"] = [0, 0, 2]  # half of a's others drew it, which is not most of them

    assert label_measures(boxes, runs).loc[("1", "liver"), "coverage"] == 1.0

    runs.loc[:1, "n_slices"] = 1
    assert label_measures(boxes, runs).loc[("1", "liver"), "coverage"] == 0.5


@pytest.mark.parametrize(
    ("scope", "verdicts"),
    [
        ("label", {("1", "liver"): "reject", ("1", "spleen"): "accept"}),
        ("case", {"1": "reject", "2": "accept"}),
        ("rater", {"a": "accept", "b": "reject"}),
        ("study", {"study": "reject"}),
    ],
)
def test_a_rule_counts_the_findings_about_each_unit(scope, verdicts):
    gap = {"check": "organ-gap", "severity": Severity.NOTE, "message": "no box", "case": "1"}
    places = [{"label": "liver", "rater": "a"}, *[{"label": "liver", "rater": "b"}] * 2]
    findings = [Finding(**gap, **place) for place in places]
    findings += [Finding(**gap | {"check": "run-short"}, label="spleen", rater="a")] * 9
    made = policy((scope, "findings:organ-gap", ">", 1, "reject"), exclude="label")
    known = with_counts(measures(*whole()), findings, made)

    decision = decide(made, known, findings)

    units = {"label": decision.labels, "case": decision.cases, "rater": decision.raters}
    found = units.get(scope, {"study": decision.study})
    assert {key: found[key].verdict for key in verdicts} == verdicts
    (reason,) = next(found[key] for key in verdicts if verdicts[key] == "reject").reasons[:1]
    n = 2.0 if scope == "rater" else 3.0
    assert (reason.measure, reason.value, reason.unit) == ("findings:organ-gap", n, "findings")
    name = {"label": "1/liver", "case": "1", "rater": "rater:b", "study": "study"}[scope]
    shown = explain(name, made, measures=known, findings=findings, decision=decision)
    assert shown.loc[shown["asked"] == "findings:organ-gap > 1", "value"].tolist()[:1] == [n]
