"""A method of another package: installed, it is one like any other."""

import pandas as pd
import pytest

from tests.packages import install, run_crowdqc
from tests.studies import TABLE, write_boxes

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
PROJECT = {
    "name": "crowdqc-trimmed",
    "entry-points": {"crowdqc.fusion": {"trimmed": "crowdqc_trimmed:trimmed"}},
}


@pytest.fixture
def folder(tmp_path):
    """A study beside which the package is installed."""
    install(tmp_path / "site", PROJECT, PLUGIN)
    rows = [
        ("c", 0, r, "liver", x0, 8, 30, 40) for r, x0 in zip("abcd", (0, 9, 11, 29), strict=True)
    ]
    rows += [("c", 0, "a", "liver", 50, 50, 60, 60)]
    write_boxes(tmp_path, rows, TABLE + "size = [64, 64]\n")
    return tmp_path


def test_a_method_of_another_package_fuses_by_its_own_rule_and_quorum(folder):
    done = run_crowdqc(folder, "fuse", "study.toml", "--method", "trimmed", "-q")

    assert done.returncode == 0, done.stderr
    found = pd.read_csv(folder / "out" / "consensus.csv").sort_values("support")
    assert found["x0"].tolist() == [50, 10]
    assert found["state"].tolist() == ["no_consensus", "agreed"]
    assert set(found["method"]) == {"trimmed"}


def test_help_and_errors_name_it(folder):
    assert "trimmed" in run_crowdqc(folder, "fuse", "--help").stdout
    done = run_crowdqc(folder, "fuse", "study.toml", "--method", "trimed")
    assert done.returncode == 2
    assert "'trimed' is not one of" in done.stderr
    assert "'trimmed'" in done.stderr


FAULTY = [
    ("raise ZeroDivisionError('no objects')", 1, "from crowdqc_trimmed:trimmed, failed: ZeroDiv"),
    ("return None", 2, "crowdqc_trimmed.kernel must give a crowdqc.fusion.Fused; got NoneType"),
    ("return Fused(np.ones((1, 4)), np.ones((1, 4)), np.ones(1))", 2, "of shape (2, 4); got (1,"),
    ("box = np.tile([9.0, 1, 2, 8], (2, 1)); return Fused(box, box, np.ones(2))", 2, "x0 < x1"),
]


@pytest.mark.parametrize(("body", "code", "says"), FAULTY)
def test_a_faulty_method_is_named_with_what_it_gave(folder, body, code, says):
    module = PLUGIN.replace("    box = np", f"    {body}\n    box = np", 1)
    (folder / "site" / "crowdqc_trimmed.py").write_text(module, encoding="utf-8")

    done = run_crowdqc(folder, "fuse", "study.toml", "--method", "trimmed", "-q")

    assert done.returncode == code
    assert says in done.stderr.splitlines()[-1]
