import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdqc.findings import (
    Finding,
    InputError,
    Reason,
    Severity,
    Verdict,
    Where,
    dump_findings,
    dump_reasons,
    parse_findings,
    read_reasons,
)

FIELDS = {"measure", "value", "op", "limit", "unit", "because", "where"}

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


any_reason = st.builds(
    Reason,
    measure=text,
    value=numbers,
    op=st.none() | st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
    limit=numbers,
    unit=maybe_text,
    because=text,
    where=st.builds(
        Where,
        case=maybe_text,
        slice=st.none() | st.integers(0, 2000),
        label=maybe_text,
        rater=maybe_text,
    ),
)


@given(st.lists(any_reason, max_size=3))
def test_a_cell_of_a_table_gives_the_reasons_back(reasons):
    cell = dump_reasons(reasons)

    assert read_reasons(cell) == reasons
    assert (cell == "") == (not reasons)
    assert set(json.loads(cell)[0] if reasons else FIELDS) == FIELDS


@pytest.mark.parametrize(
    "cell", ["{}", "n_gaps 5 > 0", "[1]", '[{"measure": "x"}]', '[{"because": "x", "odd": 1}]']
)
def test_what_is_no_list_of_reasons_is_refused(cell):
    with pytest.raises(InputError, match=r"Not a (list|reason)"):
        read_reasons(cell)


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
