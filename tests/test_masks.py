"""The stage that draws masks, as a user runs it: what it would do, cut short, raters left out."""

import io
import json
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from crowdqc.cli import progress
from crowdqc.stages.base import duration
from crowdqc.stages.masks import mask_prompts
from crowdqc.stages.pipeline import open_run
from tests.commands import call

STUDY = """
[study]
name = "small"
[labels]
0 = { name = "organ", value = 3 }
[annotations]
format = "table"
path = "boxes.csv"
[annotations.columns]
COLUMNS
[images]
path = "{case}.nii.gz"
picture = "identity"
[fuse]
method = "median"
[agree]
bootstrap = 0
[masks]
prompts = 4
"""
COLUMNS = ["case", "slice", "rater", "label", "x0", "y0", "x1", "y1"]
STUDY = STUDY.replace("COLUMNS", "\n".join(f'{name} = "{name}"' for name in COLUMNS))
SLICES = range(1, 5)
RATERS = {"AK": 0, "BL": 1, "CM": 0, "far": 9}


@pytest.fixture
def study(tmp_path):
    """Three cases with an organ on four of six slices, and four raters, one of them far off."""
    rng = np.random.default_rng(0)
    rows = []
    for case in "abc":
        volume = rng.normal(20, 4, (36, 40, 6)).astype(np.float32)
        volume[10:24, 12:30, 1:5] += 90
        nib.save(nib.Nifti1Image(volume, np.diag([1, 1, 3, 1])), tmp_path / f"{case}.nii.gz")
        for k in SLICES:
            for rater, off in RATERS.items():
                rows.append((case, k, rater, "organ", 12 + off, 10 + off, 30 + off, 24 + off))
    pd.DataFrame(rows, columns=COLUMNS).to_csv(tmp_path / "boxes.csv", index=False)
    (tmp_path / "study.toml").write_text(STUDY)
    return tmp_path / "study.toml"


def masks(study, *words):
    result = call("masks", study, *words)
    assert result.exit_code == 0, result.stderr
    return result


def results(out):
    files = sorted(path for path in (out / "masks").rglob("*") if path.is_file())
    return {str(path.relative_to(out)): path.read_bytes() for path in [*files, out / "masks.csv"]}


def test_a_dry_run_counts_what_is_left_and_draws_nothing(study):
    before = masks(study, "--dry-run", "--format", "csv")

    table = pd.read_csv(io.StringIO(before.stdout))
    assert not (study.parent / "out" / "masks").exists()
    assert table["set"].tolist() == ["filtered"] * 3 + ["unfiltered"] * 3
    assert not table["current"].any()
    assert table[["slices", "objects", "prompts"]].drop_duplicates().to_numpy().tolist() == [
        [4, 4, 16]
    ]
    assert "24 slices to encode" in before.stderr
    assert "96 prompts" in before.stderr
    assert "GB of memory" in before.stderr

    masks(study)
    (study.parent / "out" / "masks" / "b.json").unlink()
    after = pd.read_csv(io.StringIO(masks(study, "--dry-run", "--format", "csv").stdout))
    assert after.loc[~after["current"], ["set", "case"]].to_numpy().tolist() == [["filtered", "b"]]


def test_a_dry_run_says_that_there_is_nothing_to_do(study):
    masks(study)

    assert "nothing to draw" in masks(study, "--dry-run").stderr


BLOCK = """
import sys, time
import {module} as module
{target}
plain, calls = owner.{name}, []

def block(*args, **more):
    calls.append(0)
    if len(calls) == {nth}:
        print("here", flush=True)
        time.sleep(600)
    return plain(*args, **more)

owner.{name} = block
from crowdqc.cli import main
main(["masks", sys.argv[1]])
"""
IN_A_SLICE = {
    "module": "samgen.predictors.intensity",
    "target": "owner = module.IntensityPredictor",
}
WRITING = {"module": "samgen.case", "target": "owner = module"}


@pytest.mark.parametrize(
    ("where", "whole"),
    [
        ({**IN_A_SLICE, "name": "encode", "nth": 7}, 1),
        ({**WRITING, "name": "write_map", "nth": 2}, 1),
        ({**WRITING, "name": "write_record", "nth": 3}, 2),
    ],
    ids=["drawing", "writing a volume", "writing the record"],
)
def test_a_run_that_is_killed_goes_on_and_ends_with_the_same_bytes(study, where, whole):
    folder = study.parent
    study.write_text(STUDY.replace("[masks]", '[masks]\nmodel = "intensity"'))
    masks(study, "--out", folder / "uncut")
    process = subprocess.Popen(
        [sys.executable, "-c", BLOCK.format(**where), study],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with process:
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    out = folder / "out"
    assert len(list(out.glob("masks/*.json"))) == whole
    assert not (out / "masks.csv").exists()

    said = masks(study).stderr

    assert said.count("masks are up to date") == whole
    assert results(out) == results(folder / "uncut")


POLICY = """
format_version = 1
[[rules]]
scope = "rater"
measure = "agreement"
op = "<"
limit = 0.5
severity = "reject"
because = "this one draws somewhere else"
"""


def test_raters_whom_the_gate_rejects_give_no_prompts_where_masks_are_filtered(study):
    (study.parent / "policy.toml").write_text(POLICY)
    study.write_text(STUDY + '[gate]\npolicy = "policy.toml"\n[match]\niou = 0.1\n')
    assert call("gate", study).exit_code == 0

    sets = mask_prompts(open_run(study, say=print))

    assert {len(boxes) for boxes in sets["filtered"]["rater_boxes"]} == {3}
    assert {len(boxes) for boxes in sets["unfiltered"]["rater_boxes"]} == {4}
    far = (21.0, 19.0, 39.0, 33.0)
    assert all(far in boxes for boxes in sets["unfiltered"]["rater_boxes"])
    assert not any(far in boxes for boxes in sets["filtered"]["rater_boxes"])


def test_the_paper_has_one_prompt_and_no_raters(study):
    study.write_text(STUDY + 'mode = "paper"\n')
    assert call("gate", study).exit_code == 0

    sets = mask_prompts(open_run(study, say=print))

    assert "rater_boxes" not in sets["filtered"]


def test_options_take_the_place_of_the_study_file(study):
    models = ("--model", "intensity", "--second-model", "intensity")
    masks(study, *models, "--prompt-boxes", "raters", "--jitter", "fnpc")

    table = pd.read_csv(study.parent / "out" / "masks.csv")
    assert (table["model_dice"] == 1).all()
    # A slice that was drawn again from its neighbours' boxes has no raters.
    raters = ~table["reprompted"].astype(bool)
    assert raters.sum() > 6
    assert table.loc[raters, "mutual_information_between_raters"].notna().all()


@pytest.mark.parametrize(
    ("former", "option"), [("--also", "--second-model"), ("--origins", "--prompt-boxes")]
)
def test_former_names_of_options_still_work(study, former, option):
    value = "nothing.pth" if former == "--also" else "neither"

    told = [call("masks", study, name, value) for name in (former, option)]

    assert [one.exit_code for one in told] == [2, 2]
    assert all(value in one.stderr for one in told)
    assert former not in call("masks", "--help").stdout


def test_a_second_model_that_is_not_there_is_refused(study):
    result = call("masks", study, "--also", "nothing.pth")

    assert result.exit_code == 2
    assert "nothing.pth" in result.stderr


@pytest.fixture
def clock(monkeypatch):
    """A clock that tests set."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_without_a_terminal_a_line_now_and_then_says_how_long_it_will_take(clock):
    said = []
    with progress.watcher(said.append, quiet=False)("Slices") as tell:
        for seconds, done, total in [(5, 1, 100), (30, 4, 100), (10, 1, 100), (90, 0, 54)]:
            clock.now += seconds
            tell(done, total)

    # 5 of 100 in 35 s leave 95; then 6 of 54 in 135 s.
    assert said == ["Slices: 5 of 100, 11 min 5 s left", "Slices: 6 of 54, 18 min left"]


def test_nothing_is_said_of_work_that_is_quick_or_was_done_before(clock):
    said = []
    watch = progress.watcher(said.append, quiet=False)
    with watch("Slices") as tell:
        tell(10, 10)
        clock.now += 100
    with watch("Slices") as tell:
        clock.now += 100
        tell(0, 0)

    assert said == []


def test_on_a_terminal_there_is_a_bar(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")  # how rich is told that it writes to a terminal
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("TTY_COMPATIBLE", raising=False)
    said = []

    with progress.watcher(said.append, quiet=False)("Slices") as tell:
        tell(3, 10)
        tell(7, 10)

    shown = capsys.readouterr().err
    assert "Slices" in shown
    assert "10/10" in shown
    assert said == []


def test_a_quiet_run_shows_no_progress(clock, capsys):
    said = []
    with progress.watcher(said.append, quiet=True)("Slices") as tell:
        clock.now += 100
        tell(1, 2)

    assert said == []
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s"), (3599.7, "1 h"), (7290, "2 h 1 min")])
def test_durations_have_two_units(seconds, text):
    assert duration(seconds) == text


MASK_RULE = """
format_version = 1
[[rules]]
scope = "mask"
measure = "risk"
op = ">="
limit = 0
severity = "reject"
because = "no mask is good enough"
"""


def test_a_verdict_is_no_milder_because_the_masks_are_out_of_date(study):
    """Boxes changed after the masks were drawn: these are judged still, and it is said."""
    (study.parent / "policy.toml").write_text(MASK_RULE)
    study.write_text(STUDY + '[gate]\npolicy = "policy.toml"\n')
    masks(study)
    fresh = judged(study)
    boxes = pd.read_csv(study.parent / "boxes.csv")
    boxes.assign(x1=boxes["x1"] + 1).to_csv(study.parent / "boxes.csv", index=False)

    stale = judged(study)

    assert fresh["verdict"] == stale["verdict"] == "review"
    assert all(case["verdict"] == "review" for case in stale["cases"])
    assert "masks-stale" in {reason["measure"] for reason in stale["reasons"]}
    assert "masks-stale" not in {reason["measure"] for reason in fresh["reasons"]}
    told = call("report", study, "--format", "md")
    assert told.exit_code == 0
    assert "Out of date, and shown as they were: masks" in told.stderr
    page = (study.parent / "out" / "report.md").read_text(encoding="utf-8")
    assert "Out of date, and shown as they were: masks" in page
    assert "Run crowdqc run" in page


def test_a_risk_that_was_edited_is_not_used(study):
    (study.parent / "policy.toml").write_text(MASK_RULE)
    study.write_text(STUDY + '[gate]\npolicy = "policy.toml"\n')
    masks(study)
    risk = study.parent / "out" / "risk.csv"
    table = pd.read_csv(risk)
    table.assign(risk=0.0).to_csv(risk, index=False)

    found = judged(study)

    assert found["verdict"] == "review"
    assert "masks-stale" in {reason["measure"] for reason in found["reasons"]}
    assert "mask" not in found["units"]


def judged(study):
    assert call("gate", study).exit_code == 0
    return json.loads((study.parent / "out" / "manifest.json").read_text(encoding="utf-8"))
