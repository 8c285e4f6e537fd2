"""Every check that the code names is declared, and no code chooses how grave its findings are."""

import ast
from pathlib import Path

from crowdqc.findings import Finding, Severity, known_checks
from crowdqc.judge.declared import severities

ROOT = Path(__file__).parents[3]
FILES = [
    path
    for name in ("crowdqc", "samgen", "train")
    for path in sorted((ROOT / name).rglob("*.py"))
    if not {"judge", "report", "cli"} & set(path.relative_to(ROOT).parts)
]
MAKERS = {
    "Finding",
    "run_finding",
    "_finding",
    "_reject",
    "note",
    "fault",
    "file_finding",
    "bad_line",
}


def named(path):
    """Names of checks in calls that make findings."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = getattr(node.func, "id", getattr(node.func, "attr", ""))
            given = [*node.args[:2], *(k.value for k in node.keywords if k.arg == "check")]
            texts = [a.value for a in given if isinstance(a, ast.Constant)] * (called in MAKERS)
            yield from (t for t in texts if isinstance(t, str) and t.replace("-", "").isalpha())


def test_every_check_is_declared():
    found = {(name, path.name) for path in FILES for name in named(path) if name.islower()}
    known = set(severities())

    unknown = [(n, f) for n, f in found if n not in known and f"preflight-{n}" not in known]
    assert not unknown
    assert len(found) > 30


def test_each_check_says_what_it_finds():
    assert all(len(info.about.split()) >= 2 for info in known_checks().values())


def test_a_finding_is_as_grave_as_its_check_and_asks_for_a_review_where_nobody_says():
    made = [Finding(check=check, message="x") for check in ("organ-missing", "of-a-stranger")]

    assert [finding.severity for finding in made] == [Severity.REJECT, Severity.REVIEW]


def test_no_code_chooses_how_grave_a_finding_is():
    chosen = [
        path.name
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.keyword) and "Severity." in ast.unparse(node.value)
    ]
    assert chosen == []
