"""Does filtering help? Boxes of five raters, masks, nnU-Net on four datasets, and paired tests.

    python benchmarks/hippocampus.py ../shared/data --out out/hippocampus --jobs 2

Runs configs/hippocampus.toml and writes reports/hippocampus.md with its pictures (--report FOLDER
for another place). What is done already is not done again: a run that was killed goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
from hippocampus_report import write_report

from crowdqc.stages import training
from crowdqc.stages.base import Run
from crowdqc.stages.pipeline import PIPELINE, open_run
from crowdqc.stages.truth import truth_files
from train.environment import Folders
from train.evaluate import ScoredCase, score_masks
from train.experiment import dataset_name
from train.run import count_folds, predict

ROOT = Path(__file__).parents[1]
STUDY = ROOT / "configs" / "hippocampus.toml"
FUSIONS = ("mean", "edges")
"""Ways of fusing of which masks are scored; nnU-Net is trained on those of the first."""


def say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


def draw_masks(out: Path) -> dict[str, Run]:
    """Boxes, agreement, gate, masks and their scores, for each way of fusing."""
    runs = {}
    for fusion in FUSIONS:
        changes = {"fuse": {"method": fusion}}
        runs[fusion] = open_run(STUDY, out=out / fusion, changes=changes, say=say)
        PIPELINE.ensure("evaluate", runs[fusion])
    PIPELINE.ensure("dataset", runs[FUSIONS[0]])
    return runs


def train(run: Run, *, jobs: int) -> None:
    """Every fold of every dataset, `jobs` at a time, each in a process of its own."""
    training.train(run, training.Request(action="prepare"))
    lines = training.train(run, training.Request(action="print")).table["command"]
    folds = [line for line in lines if "--fold" in line]
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(call, folds))


def call(line: str) -> None:
    say(line)
    words = [sys.executable, "-m", *shlex.split(line), "--quiet"]
    subprocess.run(words, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


def score_folds(run: Run) -> None:
    """Scores of each fold by itself, to see how much one training differs from the next."""
    config, folders = run.config, Folders(run.store.folder)
    tables = []
    for name in config.dataset.sets:
        for fold in range(count_folds(folders, dataset_name(config, name))):
            say(f"testing fold {fold} of {name}")
            tables.append(score_fold(run, name, fold=fold).assign(fold=fold))
    table = pd.concat(tables, ignore_index=True)
    run.store.write_text("fold_scores.csv", table.to_csv(index=False, lineterminator="\n"))


def score_fold(run: Run, name: str, *, fold: int) -> pd.DataFrame:
    config, folders = run.config, Folders(run.store.folder)
    output = folders.base / "fold_predictions" / f"{name}-{fold}"
    cases = config.dataset.test
    if not all((output / f"{case}.nii.gz").is_file() for case in cases):
        dataset = dataset_name(config, name)
        predict(folders, dataset, output=output, settings=config.train, folds=[fold])
    truth = truth_files(config)
    scored = [
        ScoredCase(case=case, mask=output / f"{case}.nii.gz", truth=truth[case]) for case in cases
    ]
    values = {label.name: label.value for label in config.labels.values()}
    numbers = {label: number for number, label in enumerate(values, start=1)}
    table, _ = score_masks(
        scored,
        set_name=name,
        labels=numbers,
        truth_values=values,
        tolerances_mm=config.tolerances_mm,
    )
    return table[table["slice"].isna()]


def timed(out: Path, step: str, seconds: float) -> None:
    """Add CPU seconds to those of earlier runs of a step that was killed."""
    path = out / "cpu_seconds.json"
    before = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(before | {step: before.get(step, 0.0) + seconds}, indent=1))


def cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder that holds hippocampus/")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "hippocampus")
    parser.add_argument("--report", type=Path, default=ROOT / "reports")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time")
    given = parser.parse_args()
    os.environ["CROWDQC_DATA"] = str(given.data.absolute())
    given.out.mkdir(parents=True, exist_ok=True)
    runs = draw_masks(given.out)
    run = runs[FUSIONS[0]]
    begun = cpu_seconds()
    train(run, jobs=given.jobs)
    trained = cpu_seconds()
    timed(given.out, "training", trained - begun)
    test(run)
    timed(given.out, "testing", cpu_seconds() - trained)
    write_report(runs, given.report, cpu=given.out / "cpu_seconds.json")


def test(run: Run) -> None:
    training.train(run, training.Request(action="test"))
    score_folds(run)


if __name__ == "__main__":
    main()
