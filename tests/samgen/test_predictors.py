"""Models are found by their name, those of other packages like our own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from crowdqc import plugins
from crowdqc.findings import InputError
from samgen.predictor import ModelRequest
from samgen.predictors import open_predictor, uses_gpu

EXAMPLE = Path(__file__).with_name("example_predictor.py")
STUDY = """
[study]
name = "s"
[labels]
1 = { name = "organ", value = 1 }
[annotations]
format = "table"
path = "boxes.csv"
columns = { case = "case", slice = "slice", rater = "rater", label = "label", x0 = "x0", \
y0 = "y0", x1 = "x1", y1 = "y1" }
[images]
path = "{case}.nii.gz"
picture = "identity"
window = { level = 100, width = 200 }
[masks]
mode = "paper"
"""


@pytest.fixture
def installed(tmp_path):
    """The environment of a process in which the example package is installed, and a study."""
    about = tmp_path / "site" / "crowdqc_otsu-1.0.dist-info"
    about.mkdir(parents=True)
    shutil.copy(EXAMPLE, tmp_path / "site")
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: crowdqc-otsu\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[crowdqc.predictors]\notsu = example_predictor:Otsu\n")
    (tmp_path / "study.toml").write_text(STUDY)
    volume = np.full((36, 40, 3), 20, np.int16)
    volume[12:24, 12:30, 1] = 150
    nib.save(nib.Nifti1Image(volume, np.diag([1, 1, 3, 1])), tmp_path / "c.nii.gz")
    rows = [("c", 1, rater, "organ", 10, 10, 32, 26) for rater in "ab"]
    columns = ["case", "slice", "rater", "label", "x0", "y0", "x1", "y1"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "boxes.csv", index=False)
    path = os.pathsep.join([str(about.parent), *sys.path])
    return tmp_path, {**os.environ, "PYTHONPATH": path, "PYTHONUTF8": "1"}


def crowdqc(installed, *words):
    folder, environment = installed
    call = [sys.executable, "-m", "crowdqc", *words]
    return subprocess.run(
        call, env=environment, cwd=folder, capture_output=True, encoding="utf-8", check=False
    )


def test_a_model_of_another_package_draws_the_masks_of_a_study(installed):
    done = crowdqc(installed, "masks", "study.toml", "--model", "otsu", "-q")

    assert done.returncode == 0, done.stderr
    out = installed[0] / "out"
    files = out / "masks" / "c.nii.gz", installed[0] / "c.nii.gz"
    drawn, volume = (nib.load(file).get_fdata() for file in files)
    np.testing.assert_array_equal(drawn, volume > 100)
    assert set(pd.read_csv(out / "masks.csv")["model"]) == {"otsu"}


def test_help_and_errors_name_it(installed):
    assert "otsu" in crowdqc(installed, "masks", "--help").stdout
    done = crowdqc(installed, "masks", "study.toml", "--model", "otzu", "-q")
    assert done.returncode == 2
    assert "Did you mean 'otsu'?" in done.stderr


def test_the_example_is_short():
    assert len(EXAMPLE.read_text().splitlines()) < 60


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("intensty", "'model' must be one of intensity, medsam, .*Did you mean 'intensity'"),
        ("no/such.pth", "or the path of a checkpoint of SAM; there is no such file"),
        ("intensity:file", "'intensity', which has no weights; got 'intensity:file'"),
    ],
)
def test_a_model_that_is_not_there_is_refused(model, says):
    with pytest.raises(InputError, match=says):
        open_predictor(ModelRequest(model=model))


def test_what_is_registered_must_be_a_model(monkeypatch):
    class Empty:
        @classmethod
        def open(cls, request):
            return cls()

    monkeypatch.setattr(plugins, "load", lambda *_: Empty)
    with pytest.raises(InputError, match="must be a BoxPredictor; 'intensity' is registered as"):
        open_predictor(ModelRequest(model="intensity"))


def test_only_models_that_use_it_ask_for_a_gpu():
    assert not uses_gpu("intensity")


def test_a_model_that_cannot_be_imported_here_may_use_a_gpu_elsewhere(monkeypatch):
    def missing(*_):
        raise InputError("no torch")

    monkeypatch.setattr(plugins, "load", missing)
    assert uses_gpu("medsam")
