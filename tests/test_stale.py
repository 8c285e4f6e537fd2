"""What is older than its inputs is known, and why."""

import pytest

from crowdqc.catalogue import STAGES
from crowdqc.stages.pipeline import PIPELINE, open_run
from tests.commands import call
from tests.studies import write_study


@pytest.fixture
def study(tmp_path):
    """A tiny study that was gated."""
    path = write_study(
        tmp_path, raters="abc", slices=4, lines=lambda *_: "0 .3 .3 .2 .2\n1 .7 .7 .3 .3\n"
    )
    assert call("gate", path).exit_code == 0
    return path


def stale(study):
    run = open_run(study, say=lambda _: None)
    try:
        return PIPELINE.stale(run)
    finally:
        run.store.release()


def test_nothing_is_stale_after_a_run(study):
    assert stale(study) == {}


def test_what_rests_on_changed_files_is_stale(study):
    (study.parent / "boxes/a/1-0.txt").write_text("0 .3 .3 .3 .3\n")

    found = stale(study)

    assert set(found) == {"check", "agree", "fuse", "complete", "gate"}
    assert "has changed since" in found["check"]
    assert "older results of: check" in found["fuse"]


def test_only_what_a_setting_concerns_is_stale(study):
    study.write_text(study.read_text(encoding="utf-8") + "\n[fuse]\nmethod = 'median'\n")

    assert set(stale(study)) == {"fuse", "gate"}


HEAD = "decision,unit,case,slice,label,grade,reviewer\n"
BOX_ROW, MASK_ROW = "nothing,box,1,0,spleen,,eva\n", "grade,mask,1,0,spleen,bad,eva\n"


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        (HEAD + MASK_ROW, {"gate"}),  # without volumes the gate judges masks made elsewhere
        (HEAD + BOX_ROW, {"agree", "fuse", "gate"}),
        (HEAD + "nothing,box\n", {"agree", "fuse", "gate"}),  # a fault is said by whoever reads it
        (HEAD + '"\n', {"agree", "fuse", "gate"}),
    ],
)
def test_grades_of_masks_concern_no_box(study, text, changed):
    (study.parent / "decisions.csv").write_text(text, "utf-8")

    assert set(stale(study)) == changed


def test_more_grades_of_masks_change_nothing_before_the_gate(study):
    path = study.parent / "decisions.csv"
    path.write_text(HEAD + BOX_ROW, "utf-8")
    assert call("gate", study).exit_code == 0
    path.write_text(HEAD + MASK_ROW + BOX_ROW + MASK_ROW, "utf-8")

    assert set(stale(study)) == {"gate"}


def test_a_stage_that_was_stopped_is_stale(study):
    run = open_run(study, say=lambda _: None)
    run.store.begin("fuse")
    run.store.release()

    assert "stopped" in stale(study)["fuse"]


def test_the_catalogue_is_in_the_order_of_the_pipeline():
    names = [name for name in STAGES if name in PIPELINE.stages]

    assert names == list(PIPELINE.stages)
    assert all(
        set(info.needs) <= set(list(STAGES)[:k]) | {"complete"}
        for k, info in enumerate(STAGES.values())
    )
