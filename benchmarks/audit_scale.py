"""How long `crowdqc audit` takes where there are many masks.

    python benchmarks/audit_scale.py [--masks 100000] [--where FOLDER]

A study of two raters who box one organ on each of 100 slices a case, and a table of risks. The
stages before are run first; then the command is given for each round of grading, from a shell as
a user does, and each time what it listed is graded. Seconds by the clock and of the processor.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from crowdqc.schema import PLACE
from crowdqc.stages.pipeline import open_run
from crowdqc.stages.risk import write_risk

SLICES, LABELS, ROUNDS = 100, 5, 4
STUDY = """[study]
name = "many"
[labels]
{labels}
[annotations]
format = "table"
path = "boxes.csv"
columns = {{ case = "case", slice = "slice", rater = "rater", label = "label", x0 = "x0", \
y0 = "y0", x1 = "x1", y1 = "y1" }}
"""


def write_study(folder: Path, n: int) -> Path:
    """A study of `n` objects, each drawn by two raters."""
    rng = np.random.default_rng(0)
    place = np.arange(n)
    run = place // SLICES
    rows = pd.DataFrame(
        {
            "case": np.char.add("c", (run // LABELS).astype(str)),
            "slice": place % SLICES,
            "label": np.char.add("l", (run % LABELS + 1).astype(str)),
        }
    )
    corner = np.stack([20 + 40 * (run % LABELS)] * 2, 1) + rng.uniform(-2, 2, (n, 2))
    boxes = [
        rows.assign(rater=rater, **dict(zip(("x0", "y0"), (corner + jump).T, strict=True))).assign(
            x1=corner[:, 0] + 30 + jump[:, 0], y1=corner[:, 1] + 30 + jump[:, 1]
        )
        for rater in ("ada", "bob")
        for jump in [rng.normal(0, 1, (n, 2))]
    ]
    pd.concat(boxes).to_csv(folder / "boxes.csv", index=False, float_format="%.2f")
    labels = "\n".join(f'{k} = {{ name = "l{k}", value = {k} }}' for k in range(1, LABELS + 1))
    (folder / "study.toml").write_text(STUDY.format(labels=labels), "utf-8")
    return folder / "study.toml"


def write_risks(study: Path) -> pd.DataFrame:
    """The table of risks as `crowdqc risk` writes it, and which masks are bad."""
    run = open_run(study, out=None, say=lambda _: None)
    rng = np.random.default_rng(1)
    table = run.store.read("consensus")[PLACE].drop_duplicates().reset_index(drop=True)
    table["risk"] = rng.beta(0.3, 12, len(table))
    write_risk(run, table)
    return table.assign(bad=rng.random(len(table)) < table["risk"])


def timed(*words: str) -> None:
    """Run a command, and print what it took and the end of what it said."""
    begun, before = time.time(), os.times()
    said = subprocess.run(
        [sys.executable, "-m", "crowdqc", *words], check=True, capture_output=True, text=True
    )
    after = os.times()
    cpu = after.children_user + after.children_system
    cpu -= before.children_user + before.children_system
    last = said.stdout.strip().splitlines()[-1] if said.stdout.strip() else ""
    print(f"{words[0]:6} {time.time() - begun:6.1f} s, {cpu:6.1f} s of CPU  {last}", flush=True)


def grade(study: Path, truth: pd.DataFrame) -> int:
    """Grade what is listed; how many that is."""
    table = pd.read_csv(study.parent / "out" / "audit.csv", dtype={"case": str}, low_memory=False)
    rows = table.loc[table["role"].notna() & ~table["graded"], PLACE].merge(truth, on=PLACE)
    rows = rows[PLACE].assign(
        decision="grade", unit="mask", grade=np.where(rows["bad"], "bad", "good"), reviewer="eva"
    )
    path = study.parent / "decisions.csv"
    rows.to_csv(path, mode="a", header=not path.exists(), index=False)
    return len(rows)


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--masks", type=int, default=100_000)
    parser.add_argument("--where", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.where or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        study = write_study(folder, asked.masks)
        timed("gate", str(study))
        truth = write_risks(study)
        print(f"{len(truth):,} masks, {truth['bad'].mean():.1%} bad")
        for _ in range(ROUNDS):
            timed("audit", str(study))
            print(f"{grade(study, truth)} graded")
        timed("gate", str(study))


if __name__ == "__main__":
    main()
