from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdqc.findings import Finding, InputError, Reason, Severity, Verdict
from crowdqc.judge import (
    Manifest,
    box_measures,
    changes,
    decide,
    explain,
    load_policy,
    to_github,
    to_junit,
)
from crowdqc.judge.text import records
from tests.crowdqc.judge.tables import SHORT, bad_study, manifest, measures, policy, whole
from tests.crowdqc.test_findings import any_reason

KEYS = [
    "format_version", "study", "crowdqc", "created_from", "policy", "verdict", "raters", "cases",
    "prompts", "counts", "certificate",
]  # fmt: skip


def because(text):
    return Reason(measure="x", because=text).to_record()


def test_the_manifest_says_what_may_be_used():
    made = manifest()

    assert made.accepted_cases() == ["1"]
    assert len(made.prompt_table()) == 9
    assert made.counts["prompts"] == 9
    assert made.counts["prompts_withheld"] == 7
    assert made.units["box"][0]["verdict"] == "reject"
    assert set(KEYS) <= set(made.to_record())


def test_the_manifest_reads_back():
    made = manifest()

    again = Manifest.from_json(made.to_json())

    assert again == made
    assert again.to_json() == made.to_json()
    assert np.isnan(again.prompt_table()["score"]).sum() == 1


@given(st.text(), st.lists(any_reason, max_size=3))
def test_any_name_and_any_reason_read_back(name, reasons):
    made = manifest(study=name)
    made.cases[0]["reasons"][:] = [reason.to_record() for reason in reasons]

    again = Manifest.from_json(made.to_json())

    assert again == made
    assert records(again.cases[0]["reasons"]) == reasons


def test_an_explanation_of_a_sum_says_what_it_was_summed_from():
    verdicts = why("study").set_index("asked").loc["verdict"]

    assert verdicts["because"] == "1 of 2 cases rejected; 1 of 2 cases to review"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format_version": 1}', '{"format_version": 99}']
)
def test_what_is_no_manifest_is_refused(text):
    with pytest.raises(InputError, match="manifest"):
        Manifest.from_json(text)


def test_another_format_version_is_refused():
    text = manifest().to_json().replace('"format_version": 2,\n', '"format_version": 7,\n')

    with pytest.raises(InputError, match="format version 7"):
        Manifest.from_json(text)


def test_a_changed_input_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("x")

    with pytest.raises(InputError, match=r"a\.csv: has changed"):
        manifest().check(tmp_path)


def test_nothing_changed():
    assert changes(manifest(), manifest()).empty


def test_what_changed_between_two_gatings():
    better = manifest(tables=whole())

    table = changes(manifest(), better).set_index(["kind", "name"])

    assert table.loc[("case", "2"), ["before", "after"]].tolist() == ["reject", "accept"]
    assert table.loc[("label", "2/spleen"), "before"] == "reject"
    assert table.loc[("study", "organs"), "after"] == "accept"
    assert table.loc[("prompts", "boxes that may be used"), "after"] == "20"
    assert ("case", "1") in table.index
    assert ("label", "1/spleen") not in table.index


def test_a_rule_that_is_gone_is_a_change():
    other = policy(("label", "n_slices", "<", 3, "reject"))

    table = changes(manifest(), manifest(other))

    gone = table[table["kind"] == "rule"]
    assert gone[["name", "before", "after"]].to_numpy().tolist() == [
        ["box: spread > 20", "reject", ""]
    ]


def test_two_studies_are_not_compared():
    with pytest.raises(InputError, match="two studies"):
        changes(manifest(), manifest(study="other"))


def why(unit, findings=()):
    boxes, runs = bad_study()
    found = measures(boxes, runs) | {"box": box_measures(boxes)}
    decision = decide(SHORT, found, findings)
    return explain(unit, SHORT, measures=found, findings=findings, decision=decision)


def test_an_explanation_names_every_rule_that_was_asked():
    table = why("2/spleen")

    assert table[["asked", "value", "result"]].to_numpy().tolist()[0] == [
        "n_slices < 3",
        1,
        "reject",
    ]
    assert table["result"].iloc[-1] == "reject"
    assert why("1/liver")["result"].tolist() == ["passed", "review"]


def test_an_explanation_of_a_case_has_its_labels():
    assert why("2")["unit"].unique().tolist() == ["2", "2/liver", "2/spleen"]


@pytest.mark.parametrize(
    ("unit", "place"),
    [
        ("1/liver", {"case": "1", "label": "liver"}),
        ("1", {"case": "1"}),
        ("rater:a", {"rater": "a"}),
        ("study", {}),
    ],
)
def test_an_explanation_has_the_findings(unit, place):
    finding = Finding(check="odd", severity=Severity.REVIEW, message="look", **place)

    table = why(unit, [finding])

    assert table.loc[table["asked"] == "odd", "because"].tolist() == ["look"]


@pytest.mark.parametrize("unit", ["9", "1/heart", "rater:z", ""])
def test_what_was_not_judged_cannot_be_explained(unit):
    with pytest.raises(InputError, match="no unit"):
        why(unit)


def test_junit_counts_failures():
    root = ET.fromstring(to_junit(manifest()))  # noqa: S314

    cases = root.find("testsuite[@name='cases']")
    assert (cases.get("tests"), cases.get("failures"), cases.get("skipped")) == ("2", "1", "1")
    failure = cases.find("testcase[@name='2']/failure")
    assert "so (n_slices 1 < 3)" in failure.get("message")


def test_junit_holds_no_control_characters():
    made = manifest()
    made.cases[1]["reasons"][:] = [because("a\x00b\x1bc & <d>")]

    root = ET.fromstring(to_junit(made))  # noqa: S314
    assert root.find(".//failure").get("message").startswith("abc & <d>")


def test_github_annotates_what_was_not_accepted():
    lines = to_github(manifest()).splitlines()

    assert lines[0].startswith("::warning title=crowdqc%3A case 1::")
    assert lines[1].startswith("::error title=crowdqc%3A case 2::spleen: so (n_slices 1 < 3)")
    assert lines[-1].startswith("::error title=crowdqc%3A organs::reject")


def test_github_escapes_what_would_be_a_command():
    made = manifest()
    made.cases[1]["reasons"][:] = [because("50%\n::error::hacked")]

    lines = to_github(made).splitlines()

    assert not any(line.startswith("::error::hacked") for line in lines)
    assert "50%25%0A::error::hacked" in lines[1]


def test_a_good_study_is_a_notice():
    text = to_github(manifest(load_policy(), whole()))

    assert text == "::notice title=crowdqc%3A organs::accept\n"
    assert "<failure" not in to_junit(manifest(load_policy(), whole()))


def test_verdicts_are_texts_in_the_file():
    assert manifest().verdict is Verdict.REJECT
    assert '"verdict": "reject"' in manifest().to_json()
