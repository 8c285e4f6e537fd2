"""A method of another package: installed, it is one like any other."""

import os
import subprocess
import sys

import pandas as pd
import pytest

PLUGIN = '''
"""The mean of each edge without its lowest and highest value: a fusion method for crowdqc."""

import numpy as np

from crowdqc.fusion import Fused, Method


def kernel(data):
    box = np.empty((data.n_objects, 4))
    for k in range(data.n_objects):
        edges = np.sort(data.boxes[data.object == k], axis=0)
        box[k] = (edges[1:-1] if len(edges) > 2 else edges).mean(axis=0)
    share = data.n_boxes / np.maximum(data.n_asked, 1)
    return Fused(box, np.full(box.shape, np.nan), share)


trimmed = Method(kernel, quorum=0.5)
'''
STUDY = """
[study]
name = "s"
out = "out"
[labels]
1 = { name = "organ", value = 1 }
[annotations]
format = "table"
path = "boxes.csv"
size = [64, 64]
columns = { case = "case", slice = "slice", rater = "rater", label = "label", x0 = "x0", \
y0 = "y0", x1 = "x1", y1 = "y1" }
"""


@pytest.fixture
def installed(tmp_path):
    """The environment of a process in which the package is installed, and a study."""
    site = tmp_path / "site"
    about = site / "crowdqc_trimmed-1.0.dist-info"
    about.mkdir(parents=True)
    (site / "crowdqc_trimmed.py").write_text(PLUGIN)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: crowdqc-trimmed\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[crowdqc.fusion]\ntrimmed = crowdqc_trimmed:trimmed\n")
    (tmp_path / "study.toml").write_text(STUDY)
    rows = [
        ("c", 0, r, "organ", x0, 8, 30, 40) for r, x0 in zip("abcd", (0, 9, 11, 29), strict=True)
    ]
    rows += [("c", 0, "a", "organ", 50, 50, 60, 60)]
    columns = ["case", "slice", "rater", "label", "x0", "y0", "x1", "y1"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "boxes.csv", index=False)
    path = os.pathsep.join([str(site), *sys.path])
    return {**os.environ, "PYTHONPATH": path, "PYTHONUTF8": "1"}, tmp_path


def crowdqc(installed, *words):
    environment, folder = installed
    call = [sys.executable, "-m", "crowdqc", *words]
    return subprocess.run(
        call, env=environment, cwd=folder, capture_output=True, encoding="utf-8", check=False
    )


def test_a_method_of_another_package_fuses_by_its_own_rule_and_quorum(installed):
    done = crowdqc(installed, "fuse", "study.toml", "--method", "trimmed", "-q")

    assert done.returncode == 0, done.stderr
    found = pd.read_csv(installed[1] / "out" / "consensus.csv").sort_values("support")
    assert found["x0"].tolist() == [50, 10]
    assert found["state"].tolist() == ["no_consensus", "agreed"]
    assert set(found["method"]) == {"trimmed"}


def test_help_and_errors_name_it(installed):
    assert "trimmed" in crowdqc(installed, "fuse", "--help").stdout
    done = crowdqc(installed, "fuse", "study.toml", "--method", "trimed")
    assert done.returncode == 2
    assert "'trimed' is not one of" in done.stderr
    assert "'trimmed'" in done.stderr
