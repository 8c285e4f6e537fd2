"""What is out of date or was made elsewhere is marked, and no verdict gets milder by it."""

import json
from dataclasses import replace

import pytest

from crowdqc.findings import Verdict
from crowdqc.report import Caution, gather, render, to_json, to_markdown
from crowdqc.store import Store

WHY = "The boxes have changed since."
STALE = Caution({"masks": WHY, "risk": WHY, "evaluate": WHY})


def test_what_is_older_than_its_inputs_is_marked_at_the_top_and_where_it_shows(store: Store):
    content = gather(store, caution=STALE)

    assert content.notices == (
        f"Out of date, and shown as they were: masks, risk and evaluate. {WHY}",
    )
    assert content.steps[0].what == "Run crowdqc run"
    marked = {section.key for section in content.sections if section.notice}
    assert marked == {"masks", "effect"}
    (masks,) = [fact for fact in content.facts if fact.section == "masks"]
    assert masks.note.endswith("out of date")
    page, notice = render(content, charts=False), content.notices[0]
    assert page.count('class="notice"') == 2
    assert all(notice in text for text in (page, to_markdown(content)))
    assert json.loads(to_json(content))["notices"] == [notice]


@pytest.mark.parametrize(
    "caution", [STALE, Caution(untrusted=("gate",)), Caution({"check": WHY}, ("agree",))]
)
@pytest.mark.parametrize("verdict", [*Verdict, ""])
def test_a_verdict_never_gets_milder(store: Store, caution: Caution, verdict: str):
    ranks = {"accept": 0, "": 1, "review": 1, "reject": 2}
    before = replace(gather(store), verdict=str(verdict))

    after = caution.applied(before)

    assert ranks[after.verdict] >= ranks[before.verdict]
    assert after.verdict != "accept"
    worse = [
        ranks[b.status] >= ranks[a.status]
        for a, b in zip(before.sections, after.sections, strict=True)
    ]
    assert all(worse)


def test_results_of_others_are_named(store: Store):
    content = gather(store, caution=Caution(untrusted=("agree", "gate")))

    assert content.notices == (
        "Not made by this user on this machine: the results of agree and gate.",
    )
    assert "--trust-results" in content.steps[0].why
    assert "not made by this user" in content.section("raters").notice.lower()


def test_without_doubt_nothing_is_marked(store: Store):
    content = gather(store, caution=Caution())

    page = render(content, charts=False)
    assert page == render(gather(store), charts=False)
    assert 'class="notice' not in page
