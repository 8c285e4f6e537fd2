"""How long `status` and `tasks` take on a large study: ``python benchmarks/rounds.py FOLDER``.

Makes a study of 1,000 volumes of 100 slices, 5 labels and 5 raters (2,500,000 boxes in one table;
``--volumes`` makes a smaller one), runs each command as a process of its own, and prints its time
and peak memory. Four different volumes stand for all, under as many names: each is read again.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

LABELS = ("spleen", "right_kidney", "left_kidney", "liver", "aorta")
RATERS = ("ann", "bob", "cem", "dot", "eve")
SLICES, SIDE = 100, 256
STUDY = """[study]
name = "large"
[labels]
{labels}
[annotations]
format = "table"
path = "boxes.csv"
[annotations.columns]
{columns}
[images]
path = "images/{{case}}.nii.gz"
picture = "rot90"
window = {{ level = 100, width = 400 }}
[assignments]
path = "assignments.csv"
[agree]
bootstrap = 0
[fuse]
method = "median"
[limits]
rows = 10000000
"""


def make_study(folder: Path, n_volumes: int) -> Path:
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    cases = [f"v{k:04d}" for k in range(n_volumes)]
    for k, case in enumerate(cases):
        path = folder / "images" / f"{case}.nii.gz"
        if k < 4:
            coarse = rng.normal(100, 80, (SIDE // 4, SIDE // 4, SLICES)).astype(np.int16)
            volume = np.kron(coarse, np.ones((4, 4, 1), np.int16))
            nib.save(nib.Nifti1Image(volume, np.diag([1.5, 1.5, 3, 1])), path)
        else:
            os.link(folder / "images" / f"{cases[k % 4]}.nii.gz", path)
    place = np.array(
        np.meshgrid(range(n_volumes), range(SLICES), range(5), range(5), indexing="ij")
    )
    case, plane, rater, label = place.reshape(4, -1)
    centre = np.array([[60, 60], [60, 180], [180, 180], [180, 60], [120, 120]])[label]
    half = np.array([30, 18, 18, 40, 12])[label][:, None] * np.ones(2)
    noise = np.array([0.8, 0.8, 1.0, 1.5, 4.0])[rater][:, None]
    low = centre - half + noise * rng.normal(size=(len(case), 2))
    high = centre + half + noise * rng.normal(size=(len(case), 2))
    keep = ~((rater == 3) & (plane % 10 == 7))
    frame = pd.DataFrame(
        {
            "case": np.array(cases)[case], "slice": plane, "rater": np.array(RATERS)[rater],
            "label": np.array(LABELS)[label], "x0": low[:, 0], "y0": low[:, 1],
            "x1": high[:, 0], "y1": high[:, 1],
        }
    )[keep]  # fmt: skip
    frame.round(2).to_csv(folder / "boxes.csv", index=False)
    rows = "".join(f"{rater},{case}\n" for rater in RATERS for case in cases)
    (folder / "assignments.csv").write_text("rater,case\n" + rows)
    labels = "\n".join(f'{k} = {{ name = "{n}", value = {k + 1} }}' for k, n in enumerate(LABELS))
    columns = "\n".join(f'{name} = "{name}"' for name in frame.columns)
    (folder / "study.toml").write_text(STUDY.format(labels=labels, columns=columns))
    return folder / "study.toml"


def timed(*words: object) -> None:
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "crowdqc", *map(str, words), "-q", "--format", "csv"]
    done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    wall = time.perf_counter() - begun
    peak = used.ru_maxrss / 1e6
    name = " ".join(str(word) for word in words if not str(word).endswith(".toml"))
    print(f"{name:40} CPU {cpu:7.1f} s, wall {wall:7.1f} s, peak {peak:4.1f} GB, exit "
          f"{done.returncode}", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="New folder; it is removed at the end.")
    parser.add_argument("--volumes", type=int, default=1000)
    parser.add_argument("--worst", type=int, default=20_000, help="Slices in packages.")
    options = parser.parse_args()
    study = make_study(options.folder / "study", options.volumes)
    timed("check", study)
    timed("status", study)
    timed("gate", study)
    timed("tasks", study, "--redraw", options.worst, "--limit", options.worst)
    pictures = sum(1 for _ in (study.parent / "packages").rglob("*.png"))
    print(f"{pictures} pictures in packages")
    shutil.rmtree(options.folder)


if __name__ == "__main__":
    main()
