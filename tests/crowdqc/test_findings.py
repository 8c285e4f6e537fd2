import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdqc.findings import (
    Finding,
    InputError,
    Severity,
    Verdict,
    dump_findings,
    parse_findings,
)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
maybe_text = st.none() | text
numbers = st.none() | st.floats(allow_nan=False)
findings = st.builds(
    Finding,
    check=text,
    severity=st.sampled_from(Severity),
    message=text,
    case=maybe_text,
    slice=st.none() | st.integers(0, 2000),
    rater=maybe_text,
    label=maybe_text,
    value=numbers,
    limit=numbers,
    unit=maybe_text,
    source=maybe_text,
)


@given(findings)
def test_json_gives_the_finding_back(finding):
    assert Finding.from_json(finding.to_json()) == finding


@given(st.lists(findings, max_size=3))
def test_jsonl_gives_the_findings_back(many):
    assert parse_findings(dump_findings(many)) == many


def test_json_is_strict_even_where_a_value_is_infinite():
    line = Finding(check="c", severity=Severity.NOTE, message="m", value=float("inf")).to_json()

    json.loads(line, parse_constant=pytest.fail)
    assert Finding.from_json(line).value == float("inf")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("nonsense", "Not a finding"),
        ("[1]", "Not a finding"),
        ('{"check": "c"}', "Not a finding"),
        (f'{{"version": 1, "value": 1{"0" * 400}}}', "Not a finding"),
        ("[" * 100_000, "Not a finding"),
        ('{"version": 1, "check": "c", "severity": "dire", "message": "m"}', "Not a finding"),
        ('{"version": 1, "severity": "note", "message": "m"}', "Not a finding"),
        ('{"version": 9, "check": "c", "severity": "note", "message": "m"}', "version 9"),
    ],
)
def test_a_line_that_is_no_finding_is_refused(line, says):
    with pytest.raises(InputError, match=says):
        Finding.from_json(line)


def test_severities_and_verdicts_are_ordered():
    assert [s.rank for s in (Severity.NOTE, Severity.REVIEW, Severity.REJECT)] == [0, 1, 2]
    assert [v.rank for v in (Verdict.ACCEPT, Verdict.REVIEW, Verdict.REJECT)] == [0, 1, 2]
