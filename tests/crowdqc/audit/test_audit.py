import json
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest

from crowdqc.audit import (
    Plan,
    begin,
    bounds,
    extend,
    joint_confidence,
    missing,
    plans_from_json,
    plans_to_json,
    with_grades,
)
from tests.commands import call
from tests.crowdqc.audit.audited import (
    BAD_CASES,
    CASES,
    SLICES,
    grade_until_reached,
    listed,
    manifest,
    write_audited,
)
from tests.niftis import save

RULE = """[[rules]]
scope = "study"
measure = "bad_share_high"
op = ">"
limit = 0.05
severity = "reject"
because = "too many masks may be bad"
"""


def test_grades_lead_to_a_certificate_that_the_gate_asks_for(tmp_path):
    folder = tmp_path
    (folder / "policy.toml").write_text(f"format_version = 1\n{RULE}", "utf-8")
    study = write_audited(folder, policy='[gate]\npolicy = "policy.toml"\n')
    assert call("gate", study).exit_code == 0  # nothing known yet: a review, not a rejection
    assert manifest(folder)["certificate"] is None
    assert "bad_share_high" in json.dumps(manifest(folder)["reasons"])
    first = call("audit", study)
    assert "Nothing is known" in first.output
    assert len(listed(folder)) > 0
    call("gate", study)
    begun = manifest(folder)["certificate"]
    assert (begun["reached"], begun["bad_share_high"]) == (False, 1.0)
    assert begun["n_missing"] > 30
    assert manifest(folder)["verdict"] == "reject"
    assert grade_until_reached(folder, study) >= 2
    assert "found bad are still accepted, as no rule" in call("audit", study).output
    result = call("gate", study)
    done = manifest(folder)["certificate"]
    assert (result.exit_code == 0) == done["reached"] == (done["bad_share_high"] <= 0.05)
    assert done["graders"] == ["eva"]
    assert done["n_accepted"] == len(CASES) * SLICES  # no rule of this policy rejects a bad one
    assert done["n_bad_accepted"] == done["n_bad"] > 0
    assert done["bad_high"] >= done["n_bad"]
    assert done["n_graded"] < 150
    assert set(done["hashes"]) == {"masks", "audit.csv", "decisions.csv"}
    assert {part["part"] for part in done["parts"]} >= {"label", "risk"}
    check_default_policy_and_report(folder, study)
    before = (folder / "out" / "audit.csv").read_bytes()
    call("audit", study)
    assert (folder / "out" / "audit.csv").read_bytes() == before


def check_default_policy_and_report(folder, study):
    """Those found bad are taken out by the default policy, and the report shows the certificate."""
    (folder / "study.toml").write_text(study.read_text("utf-8").split("[gate]")[0], "utf-8")
    assert "still accepted" not in call("audit", study).output
    call("gate", study)
    taken_out = manifest(folder)["certificate"]
    assert taken_out["n_accepted"] == len(CASES) * SLICES - taken_out["n_bad"]
    assert taken_out["n_bad_accepted"] == 0
    assert taken_out["reached"]
    assert taken_out["bad_share_high"] <= 0.05
    found = {(one["case"], one["slice"]) for one in manifest(folder)["units"]["mask"]}
    assert found <= {(case, k) for case in BAD_CASES for k in (3, 4, 5)}
    assert found
    call("report", study, "--format", "md")
    text = (folder / "out" / "report.md").read_text("utf-8")
    assert "Bad masks left" in text
    assert "95 %" in text


def test_certificate_lapses_where_masks_change(tmp_path):
    study = write_audited(tmp_path)
    grade_until_reached(tmp_path, study, "--bad", "0.1")
    changed = np.zeros((40, 40, SLICES))
    changed[5:20, 5:20] = 1
    save(tmp_path / "masks" / "05.nii.gz", changed)
    call("risk", study, "--masks", "masks/{case}.nii.gz", "--masks", "other/{case}.nii.gz")
    call("gate", study)
    lapsed = manifest(tmp_path)["certificate"]
    assert (lapsed["lapsed"], lapsed["bad_share_high"], lapsed["reached"]) == (
        "changed",
        None,
        False,
    )
    result = call("audit", study, "--bad", "0.1")
    assert "masks have changed" in result.output


def test_nothing_to_audit_is_said(tmp_path):
    from tests.studies import write_boxes

    study = write_boxes(tmp_path, [("1", 0, "ada", "liver", 5, 5, 25, 25)])
    result = call("audit", study)
    assert result.exit_code == 2
    assert "no masks to audit" in result.output


def test_damaged_plan_is_said_and_restart_helps(tmp_path):
    study = write_audited(tmp_path)
    call("audit", study)
    (tmp_path / "out" / "audit.json").write_text('{"unit": 3}', "utf-8")
    result = call("audit", study)
    assert result.exit_code == 2
    assert "--restart" in result.output
    assert call("audit", study, "--restart").exit_code == 0


@pytest.mark.parametrize(
    "text", ["[]", "{}", '{"unit": 1}', "not json", "null", "[1]", "[null]", '"mask"']
)
def test_plan_refuses_what_is_none(text):
    with pytest.raises(ValueError, match="not the plan of an audit"):
        plans_from_json(text)


MASKS = Plan("mask", 0.5, 0.05, 0.95, 7, planned=60, rounds=2, inputs="ab")
BOXES = replace(MASKS, unit="box", limit=0.1, confidence=0.98)


@pytest.mark.parametrize("plans", [[MASKS], [BOXES], [MASKS, BOXES]])
def test_plans_round_trip(plans):
    stored = {plan.unit: plan for plan in plans}
    assert list(plans_from_json(plans_to_json(stored)).values()) == plans


def test_a_plan_without_a_list_is_read_and_an_unknown_unit_is_refused():
    assert plans_from_json(json.dumps(asdict(MASKS))) == {"mask": MASKS}
    with pytest.raises(ValueError, match="unit is not mask or box"):
        plans_from_json(json.dumps(asdict(replace(MASKS, unit="slice"))))


def test_bounds_of_two_audits_hold_together_with_less_confidence():
    assert joint_confidence([MASKS]) == 0.95
    assert joint_confidence([MASKS, BOXES]) == 0.93
    assert joint_confidence([replace(MASKS, confidence=0.3)] * 2) == 0


def test_a_hundred_thousand_masks_are_planned_and_bounded():
    rng, n = np.random.default_rng(0), 100_000
    units = pd.DataFrame(
        {
            "unit": "mask",
            "case": np.char.add("c", (np.arange(n) // 500).astype(str)),
            "slice": np.arange(n) % 100,
            "label": np.char.add("l", (np.arange(n) % 500 // 100).astype(str)),
            "object": 0,
            "risk": rng.uniform(0, 0.04, n),
        }
    )
    truth = rng.random(n) < units["risk"]
    table, plan = begin(units.assign(truth=truth)), Plan("mask", 0.5, 0.05, 0.95, 0)
    for _ in range(3):
        table, plan = extend(table, plan)
        rows = table[(table["role"] != "")]
        graded = rows.assign(bad=rows["truth"].astype(float), reviewers="eva")
        table = with_grades(table, graded[["case", "slice", "label", "object", "bad", "reviewers"]])
    assert plan.planned
    found = bounds(table, plan)
    assert truth.mean() < found["bad_share_high"].iloc[0] < 0.06
    assert missing(table, plan) >= 0
