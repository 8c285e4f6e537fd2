"""Checks: those that crowdqc registers, and one of another package."""

from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest

from crowdqc import checks, plugins
from crowdqc.agreement import review_raters
from crowdqc.completeness import assess
from crowdqc.findings import InputError, Severity
from crowdqc.judge import Policy, judge_raters
from crowdqc.matching import match
from tests.crowdqc.agreement.organs import BOX, GOOD, NONE, organ_study

PLUGIN = Path(__file__).parents[1] / "plugins" / "square_boxes"
RULE = {"scope": "rater", "measure": "square_share", "op": ">", "limit": 0.4}


@pytest.fixture
def installed(monkeypatch):
    """The example package, as if it were installed."""
    monkeypatch.syspath_prepend(PLUGIN)
    plugins._registered.cache_clear()
    yield
    plugins._registered.cache_clear()


def squared(boxes, _, rng):
    out = boxes.copy()
    out[["x1", "y1"]] = out[["x0", "y0"]].to_numpy() + rng.uniform(20, 40, (len(out), 1))
    return out


def square_study():
    return match(organ_study(GOOD, cases=3, slices=12, alter={"good0": squared}))


def test_a_check_of_another_package_adds_a_measure_a_finding_and_a_reason(installed):
    found = review_raters(square_study(), resampling=NONE)
    policy = Policy(rules=[{**RULE, "severity": "reject", "because": "organs are not square"}])
    judged = judge_raters(found.raters, found.findings, policy).set_index("rater")

    finding = next(one for one in found.findings if one.check == "boxes-square")
    assert (finding.rater, finding.value, finding.severity) == ("good0", 1.0, Severity.REVIEW)
    assert judged["square_share"].round(2).tolist() == [1.0, 0, 0, 0]
    assert judged.loc["good0", "reasons"].count("square") >= 2


def test_without_the_package_nobody_asks():
    found = review_raters(square_study(), resampling=NONE)

    assert "square_share" not in found.raters
    assert all(one.check != "boxes-square" for one in found.findings)


def test_a_check_of_runs_sees_the_facts_and_adds_a_column(monkeypatch):
    def wide(data):
        box = data.runs.drawn[BOX].to_numpy()
        widest = np.full(len(data.facts), np.nan)
        np.fmax.at(widest, data.runs.drawn["run"].to_numpy(), box[:, 2] - box[:, 0])
        return {"widest_px": widest}

    mine = checks.Check(of="run", find=lambda _: [], findings={}, measure=wide)
    register(monkeypatch, "widest", mine)
    study = organ_study(GOOD, cases=2, slices=12)
    table, _ = assess(study)

    expected = (study.boxes["x1"] - study.boxes["x0"]).groupby(
        [study.boxes[key] for key in ("case", "label", "rater")]
    )
    got = table.set_index(["case", "label", "rater"])["widest_px"].dropna().sort_index()
    assert got.to_numpy() == pytest.approx(expected.max().sort_index().to_numpy())


def register(monkeypatch, name, value):
    """Add one check to those that are registered."""
    names, load = checks.names, checks.load
    monkeypatch.setattr(checks, "names", lambda group: [*names(group), name])
    monkeypatch.setattr(checks, "load", lambda group, n: value if n == name else load(group, n))


def test_what_is_no_check_is_refused(monkeypatch):
    register(monkeypatch, "oops", max)

    with pytest.raises(InputError, match=r"'oops' of 'crowdqc.checks' must be a .*Check; got"):
        checks.registered("run")


def test_what_crowdqc_brings_is_registered_the_same_way_in_a_fixed_order():
    listed = {entry.name for entry in entry_points(group="crowdqc.checks")}
    found = [one for of in ("rater", "run") for one in checks.registered(of)]

    assert {"organ-gap", "boxes-copied", "rater-too-fast"} <= listed
    assert len({(one.of, one.order) for one in found}) == len(found) == len(listed)


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("agreement", np.zeros(4), "'agreement' of the check .* the name of a column"),
        ("zest", np.zeros(3), r"must be an array of shape \(4,\); got \(3,\)"),
    ],
)
def test_a_measure_that_fits_no_table_is_refused(monkeypatch, name, values, says):
    added = {"measure": lambda _: {name: values}}
    register(monkeypatch, "zest", checks.Check(of="rater", find=lambda _: [], findings={}, **added))

    with pytest.raises(InputError, match=says):
        review_raters(square_study(), resampling=NONE)
