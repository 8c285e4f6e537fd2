import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from crowdqc.cli import COMMANDS
from tests.commands import call
from tests.niftis import save
from tests.studies import TINY, VOLUMES, write_boxes, write_study


@pytest.fixture
def study(tmp_path):
    """A tiny study of three raters."""
    shift = {"a": 0.0, "b": 0.01, "c": 0.02}

    def lines(rater, _, k):
        return f"0 {0.3 + shift[rater]} .3 .2 .2\n1 .7 .7 .3 .{3 + k % 2}\n"

    return write_study(tmp_path, raters=shift, cases=("1", "2"), slices=6, lines=lines)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name):
    result = call(name, "--help")

    assert result.exit_code == 0
    assert "Usage" in result.stdout


def test_help_of_the_group_imports_neither_pandas_nor_torch():
    code = (
        "import sys; from crowdqc.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('pandas', 'torch', 'numpy', 'pydantic') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"
    assert all(name in done.stdout for name in COMMANDS)


def test_a_mistyped_command_is_answered_with_the_nearest():
    result = call("chek")

    assert result.exit_code == 2
    assert "did you mean 'check'?" in result.stderr


@pytest.mark.parametrize("name", ["check", "agree", "fuse", "complete", "gate", "report", "run"])
@pytest.mark.parametrize(
    ("text", "says"),
    [(None, "cannot be read"), ("", "'study' is missing"), ("[study", "not valid TOML")],
)
def test_a_bad_study_file_ends_with_2_and_a_message(tmp_path, name, text, says):
    path = tmp_path / "study.toml"
    if text is not None:
        path.write_text(text)

    result = call(name, path)

    assert result.exit_code == 2
    assert says in result.stderr
    assert "study.toml" in result.stderr
    assert result.stdout == ""


def test_a_folder_is_answered_with_the_study_file_in_it(study):
    result = call("gate", study.parent)
    empty = call("gate", study.parent / "boxes")

    assert result.exit_code == empty.exit_code == 2
    assert f"did you mean {study}?" in result.stderr
    assert f"start with: crowdqc init {study.parent / 'boxes'}" in empty.stderr


@pytest.mark.parametrize("name", ["check", "masks", "report"])
def test_a_policy_that_is_not_there_is_noticed_before_any_work(study, name):
    study.write_text(TINY + "[gate]\npolicy = 'strict.toml'\n")

    result = call(name, study)

    assert result.exit_code == 2
    assert "strict.toml" in result.stderr
    assert not (study.parent / "out").exists()


def test_a_former_name_of_an_option_still_works(study):
    new, old = (call("fuse", study, flag, "--format", "csv") for flag in ("--next-raters", "--ask"))

    assert old.stdout == new.stdout
    assert "--ask" not in call("fuse", "--help").stdout


@pytest.mark.parametrize("name", ["check", "run"])
def test_no_argument_is_wrong_usage(name):
    assert call(name).exit_code == 2


def test_check_writes_its_tables_and_ends_with_0(study):
    result = call("check", study)

    assert result.exit_code == 0, result.stderr
    assert "72 boxes of 3 raters" in result.stderr
    written = {path.name for path in (study.parent / "out").iterdir()}
    assert {"images.csv", "readings.csv", "boxes.csv", "findings.jsonl"} <= written


def test_check_ends_with_3_and_names_the_line(study):
    (study.parent / "boxes" / "a" / "1-0.txt").write_text("0 .3 .3 .2\n")

    result = call("check", study, "--format", "json")

    assert result.exit_code == 3
    (finding,) = [f for f in json.loads(result.stdout) if f["severity"] == "reject"]
    assert finding["source"] == "boxes/a/1-0.txt:1"


def test_the_result_is_on_stdout_and_the_talk_on_stderr(study):
    result = call("fuse", study, "--format", "csv")

    assert result.stdout.startswith("case,slice,label,x0,")
    assert len(result.stdout.splitlines()) == 1 + 24
    assert "crowdqc check" in result.stderr
    assert call("fuse", study, "--quiet", "--format", "csv").stderr == ""


def test_tables_fit_80_columns(study):
    for name in ("check", "fuse"):
        assert max(map(len, call(name, study).stdout.splitlines())) <= 80


def test_a_stage_runs_again_only_when_its_inputs_changed(study):
    assert "crowdqc check ..." in call("fuse", study).stderr
    assert "crowdqc check ..." not in call("fuse", study).stderr
    (study.parent / "boxes" / "a" / "1-0.txt").write_text("")
    assert "crowdqc check ..." in call("fuse", study).stderr


def test_two_runs_write_the_same_bytes(study, tmp_path):
    for out in ("one", "two"):
        assert call("fuse", study, "--out", tmp_path / out).exit_code == 0

    for path in (tmp_path / "one").rglob("*.csv"):
        other = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == other.read_bytes()


def test_results_of_another_study_are_refused(study):
    call("check", study)
    study.write_text(TINY.replace('"tiny"', '"other"'))

    result = call("check", study)

    assert result.exit_code == 2
    assert "holds results of the study 'tiny'" in result.stderr


def test_init_writes_a_study_file_that_works(study):
    folder = study.parent / "boxes"

    result = call("init", folder, "--name", "mine")

    assert result.exit_code == 0, result.stderr
    written = folder / "study.toml"
    written.write_text(written.read_text(encoding="utf-8").replace("# size ", "size "))
    assert call("check", written).exit_code == 0
    assert call("init", folder).exit_code == 2
    assert "not overwritten" in call("init", folder).stderr


def test_init_of_a_folder_that_is_not_there():
    result = call("init", "nowhere/at/all")

    assert result.exit_code == 2
    assert "there is no such folder" in result.stderr
    assert not Path("nowhere").exists()


def test_convert_writes_a_study_that_reads_the_same(study, tmp_path):
    result = call("convert", study, tmp_path / "coco", "--to", "coco")

    assert result.exit_code == 0, result.stderr
    again = call("check", tmp_path / "coco" / "study.toml")
    assert "72 boxes of 3 raters" in again.stderr


def test_convert_to_a_format_that_is_not_known(study, tmp_path):
    result = call("convert", study, tmp_path / "new", "--to", "jpeg")

    assert result.exit_code == 2
    assert not (tmp_path / "new").exists()


def test_weights_are_listed_and_damage_is_seen(tmp_path):
    (tmp_path / "sam_vit_b_01ec64.pth").write_bytes(b"not these")

    result = call("weights", "--folder", tmp_path, "--format", "json")

    states = {one["model"]: one["state"] for one in json.loads(result.stdout)}
    assert states["sam_vit_b"] == "damaged"
    assert states["medsam"] == "missing"


def test_weights_of_a_model_that_is_not_known():
    result = call("weights", "sam_vit_z")

    assert result.exit_code == 2
    assert "sam_vit_b" in result.stderr


def test_objects_worth_another_rater_are_listed(study):
    result = call("fuse", study, "--next-raters", "--format", "csv")

    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("object,case,slice,label,")
    # Three raters draw all 24 objects with hardly a difference: few are worth a fourth.
    assert len(result.stdout.splitlines()) < 24
    assert "of 24 objects" in result.stderr
    assert "by 0.006 or more" in result.stderr
    assert "not asking gives up" in result.stderr


def test_a_budget_is_spent_where_it_gains_most(study):
    result = call("plan", study, "--budget", "40", "--error", "0.02", "--format", "csv")

    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "object,case,slice,label,n_more,n_boxes,expected_error,gain"
    errors = [float(line.split(",")[6]) for line in lines[1:]]
    assert errors == sorted(errors, reverse=True)
    assert float(lines[-1].split(",")[5]) <= 40
    assert "lowers the sum by 0.01 or" in result.stderr
    assert (study.parent / "out" / "budget.csv").is_file()
    assert call("plan", study, "--budget", "0").exit_code == 2


def test_risk_of_masks_needs_masks(study):
    result = call("risk", study)

    assert result.exit_code == 2
    assert "give --masks" in result.stderr


def test_a_demo_replaces_no_study_of_somebody_else(study):
    result = call("demo", study.parent, "--force")

    assert result.exit_code == 2
    assert "is not an empty folder" in result.stderr
    assert study.read_text(encoding="utf-8") == TINY
    assert (study.parent / "boxes" / "a" / "1-0.txt").is_file()


@pytest.mark.parametrize(
    ("words", "says"),
    [(["plan", "--largest", "0"], "'--largest'"), (["plan", "--iou", "2"], "'--iou'"),
     (["train", "--gpus", "0"], "'--gpus'")],
)  # fmt: skip
def test_a_number_out_of_range_is_refused_before_any_work(study, words, says):
    result = call(*words, study)

    assert result.exit_code == 2
    assert says in result.stderr
    assert not (study.parent / "out").exists()


def test_a_dataset_of_a_study_without_images_says_what_it_lacks(study):
    result = call("dataset", study)

    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")  # before any stage that it needs
    assert "datasets need volumes: give [images] path" in result.stderr


def test_compare_refuses_one_column_twice_and_to_write_over_what_it_reads(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("set,case,label,dice\na,1,x,0.5\nb,1,x,0.6\na,2,x,0.5\nb,2,x,0.7\n")
    before = path.read_text(encoding="utf-8")
    words = ("compare", path, "--by", "set", "--on", "case")

    twice = call(*words, "--on", "label", "--label", "label")
    over = call(*words, "--label", "label", "-o", path.parent / "x" / ".." / path.name)

    assert (twice.exit_code, over.exit_code) == (2, 2)
    assert "must differ; got case, label, label, set" in twice.stderr
    assert "is not overwritten" in over.stderr
    assert path.read_text(encoding="utf-8") == before


NESTED = TINY.replace("boxes/{rater}/{case}-{slice}.txt", "{rater}/{case}/slice{slice}.txt")


def test_cases_in_folders_keep_them_and_results_beside_raters_are_no_rater(tmp_path):
    for rater, shift in (("ann", 0.0), ("bob", 0.01)):
        for case, x in (("p1", 0.3), ("p2", 0.7)):
            (tmp_path / rater / case).mkdir(parents=True)
            for slice_ in range(4):
                path = tmp_path / rater / case / f"slice{slice_}.txt"
                path.write_text(f"0 {x + shift} .4 .2 .2\n")
    (tmp_path / "study.toml").write_text(NESTED)

    call("fuse", tmp_path / "study.toml")
    tables = [call("check", tmp_path / "study.toml", "--format", "csv")]
    readings = (tmp_path / "out" / "readings.csv").read_text(encoding="utf-8")
    call("fuse", tmp_path / "study.toml")
    tables.append(call("check", tmp_path / "study.toml", "--format", "csv"))

    fused = sorted((tmp_path / "out" / "consensus").rglob("*.txt"))
    assert [path.relative_to(tmp_path / "out" / "consensus").as_posix() for path in fused] == [
        f"{case}/slice{k}.txt" for case in ("p1", "p2") for k in range(4)
    ]
    assert {path.read_text(encoding="utf-8").split()[1][:3] for path in fused[:4]} == {"0.3"}
    assert (tmp_path / "out" / "readings.csv").read_text(encoding="utf-8") == readings
    assert "out" not in readings
    assert "16 boxes of 2 raters" in tables[1].stderr


@pytest.mark.parametrize(
    ("words", "last"),
    [
        (["check"], "Next: crowdqc agree {study}"),
        (["agree"], "Next: crowdqc fuse {study}"),
        (["complete"], "Next: crowdqc gate {study}"),
        (["fuse"], "Next: crowdqc complete {study}"),
        (["gate"], "Next: crowdqc report {study}"),
    ],
)
def test_a_stage_ends_with_what_comes_next(study, words, last):
    done = call(*words, study)

    assert done.stderr.splitlines()[-1] == last.format(study=study)


def test_what_is_to_be_corrected_comes_first(study):
    (study.parent / "boxes/a/1-0.txt").write_text("0 nonsense\n")
    (study.parent / "boxes/a/1-3.txt").unlink()

    checked = call("check", study)
    completed = call("complete", study)

    assert checked.exit_code == 3
    assert (
        f"Next: do what the findings that reject ask for, then crowdqc check {study}"
        in checked.stderr
    )
    assert f"Next: crowdqc complete {study} --todo" in completed.stderr
    assert "Next" not in call("complete", study, "--format", "csv").output
    assert "Next" not in call("complete", study, "--quiet").output


def test_ctrl_c_is_no_crash(study, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("crowdqc.stages.check.read_rounds", stop)
    stopped = call("check", study)
    monkeypatch.undo()

    assert stopped.exit_code == 130
    assert "Stopped. What is done is kept" in stopped.stderr
    assert call("check", study).exit_code == 0


def test_a_gate_that_accepts_all_does_not_say_that_there_is_no_verdict(study):
    (study.parent / "gate.toml").write_text(
        'format_version = 1\n[[rules]]\nscope = "label"\nmeasure = "coverage"\nop = "<"\n'
        'limit = 0.1\nseverity = "reject"\nbecause = "little was drawn"\n'
    )
    study.write_text(f'{TINY}[agree.limits]\nguess = 0\n[gate]\npolicy = "gate.toml"\n')

    result = call("gate", study)

    assert result.exit_code == 0
    assert result.stdout == "Not accepted: none.\n"
    assert "Verdict: accept." in result.stderr


def test_all_images_that_cannot_be_read_are_named_at_once(tmp_path):
    rows = [(case, 0, "ann", "liver", 1, 1, 9, 9) for case in ("p1", "p2", "p3")]
    study = write_boxes(tmp_path, rows)
    study.write_text(study.read_text(encoding="utf-8") + VOLUMES, encoding="utf-8")
    for case in ("p1", "p3"):
        (tmp_path / f"{case}.nii.gz").write_bytes(b"no volume")
    save(tmp_path / "p2.nii.gz", np.zeros((12, 12, 1)))

    done = call("check", study)

    assert done.exit_code == 2
    assert "p1.nii.gz" in done.output
    assert "p3.nii.gz" in done.output


def test_init_names_a_study_as_the_study_file_may(tmp_path):
    folder = tmp_path / ("." + "n" * 150)
    write_study(folder, raters="ab", slices=2, lines=lambda *_: "0 .5 .5 .1 .1")
    (folder / "study.toml").unlink()

    assert call("init", folder).exit_code == 0
    assert "'study.name'" not in call("check", folder / "study.toml").output


def test_a_name_that_may_not_be_is_refused_in_words(tmp_path):
    study = write_study(
        tmp_path, raters="a", slices=1, lines=lambda *_: "", text=TINY.replace("tiny", "my study")
    )

    assert "of letters, digits and ._+-, without a blank" in call("check", study).output
