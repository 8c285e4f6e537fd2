"""Masks drawn by several jobs side by side: the same bytes, nothing lost, nothing mixed."""

import os
import signal
import subprocess
import sys
import time

import pytest

from crowdqc.findings import InputError
from crowdqc.lock import FolderLock
from tests.commands import call
from tests.test_masks import study  # noqa: F401 - a fixture


def files(out):
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted([*out.glob("masks*/**/*"), *out.glob("*.csv")])
        if path.is_file()
    }


def shard(study, n, *words):  # noqa: F811
    line = [sys.executable, "-m", "crowdqc", "masks", str(study), "--shard", n, "-q", *words]
    return subprocess.Popen(line, stderr=subprocess.PIPE, encoding="utf-8")


def test_shards_give_the_bytes_of_one_process_though_one_was_killed(study):  # noqa: F811
    out = study.parent / "out"
    assert call("masks", study, "--out", study.parent / "whole").exit_code == 0
    assert call("gate", study).exit_code in {0, 3}

    jobs = [shard(study, f"{k}/4") for k in (1, 2, 3, 4)]
    time.sleep(1.5)
    jobs[1].send_signal(signal.SIGKILL)
    for k, job in enumerate(jobs):
        _, said = job.communicate(timeout=300)
        assert job.returncode == 0 or k == 1, said
    (out / "masks" / "b.json").unlink(missing_ok=True)  # one is missing, whichever was killed

    early = call("masks", study, "--merge")
    assert early.exit_code == 2
    assert "are not drawn" in early.stderr
    assert not (out / "masks.csv").exists()
    for k in (1, 2, 3, 4):
        assert call("masks", study, "--shard", f"{k}/4").exit_code == 0
    for _ in range(2):
        assert call("masks", study, "--merge").exit_code == 0
        assert files(out) == files(study.parent / "whole")


def test_the_risk_is_measured_by_shards_too(study):  # noqa: F811
    out, whole = study.parent / "out", study.parent / "whole"
    assert call("masks", study, "--out", whole).exit_code == 0
    pattern = [
        "--masks",
        "whole/masks/{case}.nii.gz",
        "--masks",
        "whole/masks/unfiltered/{case}.nii.gz",
    ]
    assert call("risk", study, "--out", whole, *pattern).exit_code == 0
    early = call("risk", study, *pattern, "--shard", "1/3")
    assert early.exit_code == 2
    assert "Run crowdqc fuse before the shards" in early.stderr
    assert call("gate", study).exit_code in {0, 3}

    for k in (1, 3):
        done = call("risk", study, *pattern, "--shard", f"{k}/3")
        assert done.exit_code == 0, done.stderr
    missing = call("risk", study, *pattern, "--merge")
    assert missing.exit_code == 2
    assert "masks of 1 case are not measured" in missing.stderr
    assert not (out / "risk.csv").exists()
    assert call("risk", study, *pattern, "--shard", "2/3").exit_code == 0
    for _ in range(2):
        merged = call("risk", study, *pattern, "--merge")
        assert merged.exit_code == 0, merged.stderr
        assert (out / "risk.csv").read_bytes() == (whole / "risk.csv").read_bytes()
        assert len((out / "risk.csv").read_text().splitlines()) > 6


def test_what_was_measured_of_other_masks_or_by_others_does_not_count(study):  # noqa: F811
    assert call("run", study).exit_code in {0, 3}
    pattern = ["--masks", "out/masks/{case}.nii.gz"]
    assert call("risk", study, *pattern, "--shard", "1/1").exit_code == 0
    part = study.parent / "out" / "risk_parts" / "a.json"
    text = part.read_text(encoding="utf-8")

    part.write_text(text.replace('"z_dice": [', '"z_dice": [0.5, ', 1), encoding="utf-8")
    forged = call("risk", study, *pattern, "--merge")
    assert forged.exit_code == 2
    assert "masks of 1 case are not measured, or have changed since: a." in forged.stderr
    part.write_text(text, encoding="utf-8")
    assert call("risk", study, *pattern, "--merge").exit_code == 0
    other = ["--masks", "out/masks/unfiltered/{case}.nii.gz", *pattern]
    assert call("risk", study, *other, "--merge").exit_code == 2


def test_every_case_is_in_one_shard(study):  # noqa: F811
    assert call("gate", study).exit_code in {0, 3}
    seen = []
    for k in range(1, 6):
        result = call("masks", study, "--shard", f"{k}/5", "--format", "csv")
        assert result.exit_code == 0, result.stderr
        rows = result.stdout.splitlines()[1:]
        seen += sorted({row.split(",")[0] for row in rows})
    assert sorted(seen) == ["a", "b", "c"]


def test_a_shard_runs_no_stage_before_it(study):  # noqa: F811
    result = call("masks", study, "--shard", "1/2")

    assert result.exit_code == 2
    assert "Run crowdqc gate before the shards" in result.stderr


@pytest.mark.parametrize("word", ["0/4", "5/4", "2", "a/b", "1/0", "-1/2"])
def test_what_is_no_shard_is_refused(study, word):  # noqa: F811
    result = call("masks", study, f"--shard={word}")

    assert result.exit_code == 2
    assert "2/8" in result.stderr


def test_parts_write_side_by_side_and_not_beside_the_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("crowdqc.lock._WAIT_S", 0.1)
    first, second = FolderLock(tmp_path, "1of2"), FolderLock(tmp_path, "2of2")
    first.acquire()
    second.acquire()
    with pytest.raises(InputError, match="is writing here"):
        FolderLock(tmp_path).acquire()
    with pytest.raises(InputError, match="is writing here"):
        FolderLock(tmp_path, "1of2").acquire()
    first.release()
    second.release()
    whole = FolderLock(tmp_path)
    whole.acquire()
    with pytest.raises(InputError, match="is writing here"):
        first.acquire()
    whole.release()
    first.acquire()
    first.release()
    assert not list(tmp_path.iterdir())


SBATCH = """#!/bin/sh
# A scheduler for tests: runs a job at once, an array as processes side by side.
echo "$@" >> calls.txt
for word in "$@"; do script=$word; done
range=$(sed -n 's/^#SBATCH --array=1-//p' "$script")
if [ -n "$range" ]; then
  for k in $(seq "$range"); do SLURM_ARRAY_TASK_ID=$k sh "$script" >> log.txt 2>&1 & done
  wait
else
  sh "$script" >> log.txt 2>&1
fi
echo "$(wc -l < calls.txt);cluster"
"""


def test_job_scripts_run_a_study_in_their_order(study, tmp_path, monkeypatch):  # noqa: F811
    written = call("slurm", study, tmp_path / "jobs", "--shards", 2, "--option", "--gpus=1")
    assert written.exit_code == 0, written.stderr
    assert call("slurm", study, tmp_path / "jobs", "--shards", 2).exit_code == 2  # not empty now
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "sbatch").write_text(SBATCH, encoding="utf-8")
    (bin_ / "sbatch").chmod(0o755)
    for script in (tmp_path / "jobs").iterdir():
        assert subprocess.run(["/bin/sh", "-n", script], check=False).returncode == 0
    assert "#SBATCH --gpus=1" in (tmp_path / "jobs" / "masks.sh").read_text(encoding="utf-8")

    monkeypatch.setenv("PATH", f"{bin_}:{os.environ['PATH']}")
    done = subprocess.run(
        ["/bin/sh", tmp_path / "jobs" / "submit.sh"],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    log = (tmp_path / "jobs" / "log.txt").read_text(encoding="utf-8")
    assert done.returncode == 0, log
    calls = (tmp_path / "jobs" / "calls.txt").read_text(encoding="utf-8").splitlines()
    assert [line.split()[-1] for line in calls] == ["prepare.sh", "masks.sh", "merge.sh"]
    assert "--dependency=afterok:1 " in calls[1]
    assert "--dependency=afterok:2 " in calls[2]
    assert (study.parent / "out" / "report.html").is_file(), log


def test_the_jobs_of_a_training_come_after_the_masks(study, tmp_path):  # noqa: F811
    written = call("slurm", study, tmp_path / "jobs", "--shards", 2, "--train-shards", 5)

    assert written.exit_code == 0, written.stderr
    text = {one.stem: one.read_text(encoding="utf-8") for one in (tmp_path / "jobs").iterdir()}
    order = [line.split("=")[0] for line in text["submit"].splitlines() if "sbatch" in line]
    assert order == ["prepare", "masks", "merge", "plan", "train", "score"]
    assert "#SBATCH --array=1-5" in text["train"]
    assert '--shard "$SLURM_ARRAY_TASK_ID/5"' in text["train"]
    assert "--prepare" in text["plan"]
    assert "--merge" in text["score"]


def test_a_gate_that_says_no_does_not_end_the_jobs(study, tmp_path):  # noqa: F811
    assert call("slurm", study, tmp_path / "jobs", "--shards", 1).exit_code == 0
    lines = (tmp_path / "jobs" / "prepare.sh").read_text(encoding="utf-8").splitlines()
    script = "\n".join([lines[0], 'crowdqc() { return "$ENDS"; }', lines[-1]])

    ends = {
        code: subprocess.run(["/bin/sh", "-c", script], env={"ENDS": code}, check=False).returncode
        for code in ("0", "3", "2")
    }

    assert ends == {"0": 0, "3": 0, "2": 1}


@pytest.mark.parametrize("option", ["gpus=1", "--x; rm -rf .", "--x\n#SBATCH --y", "--a=$(id)"])
def test_what_is_no_option_of_sbatch_is_refused(study, tmp_path, option):  # noqa: F811
    result = call("slurm", study, tmp_path / "jobs", "--shards", 2, f"--option={option}")

    assert result.exit_code == 2
    assert "is no option of sbatch" in result.stderr
    assert not (tmp_path / "jobs").exists()
