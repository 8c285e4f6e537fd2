from pathlib import Path

import pytest

from crowdqc.checks import Check, Measure
from crowdqc.findings import InputError, Verdict
from crowdqc.judge import (
    box_measures,
    decide,
    declared,
    load_policy,
    slice_measures,
    study_measures,
)
from tests.crowdqc.judge.tables import measures, policy, whole

PRESETS = sorted((Path(__file__).parents[3] / "configs").glob("policy_*.toml"))
RULE = """[[rules]]
scope = "label"
measure = "n_slices"
op = "<"
limit = 1
severity = "reject"
because = "empty"
"""


@pytest.mark.parametrize("path", [None, *PRESETS], ids=lambda path: path and path.stem)
def test_every_policy_that_is_shipped_can_be_read_and_gives_reasons(path):
    made = load_policy(path)

    assert len(made.rules) >= 3
    assert all(len(rule.because.split()) >= 5 for rule in made.rules)


def test_there_are_presets():
    assert len(PRESETS) >= 3


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ('scope = "label"', 'scope = "labels"'),
        ("limit = 1", "limits = 1"),
        ('op = "<"', 'op = "=<"'),
        ('because = "empty"', 'because = ""'),
        ('severity = "reject"', 'severity = "bad"'),
    ],
    ids=lambda text: text.split(" =")[0],
)
def test_a_bad_rule_is_refused_with_its_place(tmp_path, change, says):
    file = tmp_path / "gate.toml"
    file.write_text(RULE.replace(change, says))

    with pytest.raises(InputError, match=r"gate.toml: 'rules\.0"):
        load_policy(file)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("n_slices", "coverge"),
        ("severity =", "needs = { coverge = 2 }\nseverity ="),
    ],
)
def test_a_measure_that_nobody_measures_is_refused_with_the_nearest_name(tmp_path, change, says):
    file = tmp_path / "gate.toml"
    file.write_text(RULE.replace(change, says))

    with pytest.raises(InputError, match=r"gate.toml: .*got 'coverge'\. Did you mean 'coverage'\?"):
        load_policy(file)


def test_a_check_that_there_is_not_cannot_be_weighed(tmp_path):
    file = tmp_path / "gate.toml"
    file.write_text(f'severities = {{ organ-gaps = "note" }}\n{RULE}')

    with pytest.raises(InputError, match=r"got 'organ-gaps'\. Did you mean 'organ-gap'\?"):
        load_policy(file)


def test_a_measure_of_another_package_may_be_asked_for(monkeypatch):
    check = Check(of="run", find=list, findings={}, measures=(Measure("width", "px", "wide"),))
    monkeypatch.setattr(declared, "registered", lambda of: [check] if of == "run" else [])

    rule = policy(("label", "width", ">", 3, "review")).rules[0]

    assert rule.reason(4.0).unit == "px"


def test_every_measure_has_a_unit_and_is_measured():
    boxes, runs = whole()
    tables = measures(boxes, runs)
    tables |= {"box": box_measures(boxes), "slice": slice_measures(boxes)}
    for scope in ("label", "case", "box", "slice"):
        numbers = tables[scope].select_dtypes("number").columns.difference(["slice"])
        assert set(declared.measures_of(scope)) == set(numbers)
    assert set(declared.measures_of("study")) == set(study_measures(decide(load_policy(), tables)))
    assert {"agreement", "reliability", "labels_swapped"} <= set(declared.measures_of("rater"))
    assert {"risk", "z_dice"} <= set(declared.measures_of("mask"))


def test_a_policy_without_rules_would_accept_everything(tmp_path):
    file = tmp_path / "gate.toml"
    file.write_text("rules = []")

    with pytest.raises(InputError, match="rules"):
        load_policy(file)


@pytest.mark.parametrize(("measure", "op"), [("cases_rejected_share", "<"), ("n_cases_kept", ">")])
def test_a_rule_that_rewards_rejections_is_refused(measure, op):
    with pytest.raises(ValueError, match="milder"):
        policy(("study", measure, op, 0.5, "reject"))


@pytest.mark.parametrize(
    ("fail_on", "verdict", "says_no"),
    [
        ("reject", Verdict.REVIEW, False),
        ("reject", Verdict.REJECT, True),
        ("review", Verdict.REVIEW, True),
        ("review", Verdict.ACCEPT, False),
    ],
)
def test_what_the_gate_says_no_to(fail_on, verdict, says_no):
    made = policy(("label", "n_slices", "<", 1, "reject"), fail_on=fail_on)

    assert made.says_no(verdict) is says_no


@pytest.mark.parametrize(
    ("op", "fires"),
    [
        ("<", [True, False, False]),
        ("<=", [True, True, False]),
        (">", [False, False, True]),
        (">=", [False, True, True]),
        ("==", [False, True, False]),
        ("!=", [True, False, True]),
    ],
)
def test_operators(op, fires):
    rule = policy(("label", "n_slices", op, 1, "reject")).rules[0]

    assert [rule.fires(value) for value in (0, 1, 2)] == fires


def test_every_measure_is_documented():
    page = (Path(__file__).parents[3] / "docs" / "policy-names.md").read_text(encoding="utf-8")
    boxes, runs = whole()
    found = measures(boxes, runs)
    tables = [*found.values(), box_measures(boxes), slice_measures(boxes)]
    names = {name for table in tables for name in table.columns}
    names |= set(study_measures(decide(load_policy(), found)))

    assert {name for name in names if f"`{name}`" not in page} == {"case", "slice", "label"}


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (("label", "findings:organ-gaps", ">", 3, "reject"), "Did you mean 'organ-gap'"),
        (("box", "findings:organ-gap", ">", 3, "reject"), "a measure of a box"),
        (("case", "findings:organ-gap", "<", 3, "reject"), "one finding more .* milder"),
    ],
)
def test_a_count_of_findings_is_refused_of_what_cannot_be_counted_so(rule, says):
    with pytest.raises(ValueError, match=says):
        policy(rule)
