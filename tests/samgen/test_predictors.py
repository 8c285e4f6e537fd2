"""Models are found by their name, those of other packages like our own."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from crowdqc import plugins
from crowdqc.findings import InputError
from samgen.predictor import ModelRequest
from samgen.predictors import open_predictor, uses_gpu
from tests.niftis import save
from tests.packages import install, run_crowdqc
from tests.studies import TABLE, VOLUMES, write_boxes

EXAMPLE = Path(__file__).with_name("example_predictor.py")
STUDY = TABLE + VOLUMES + '[masks]\nmode = "paper"\n'
PROJECT = {
    "name": "crowdqc-otsu",
    "entry-points": {"crowdqc.predictors": {"otsu": "example_predictor:Otsu"}},
}


@pytest.fixture
def folder(tmp_path):
    """A study beside which the example package is installed."""
    install(tmp_path / "site", PROJECT, EXAMPLE.read_text(encoding="utf-8"))
    volume = np.full((36, 40, 3), 20, np.int16)
    volume[12:24, 12:30, 1] = 150
    save(tmp_path / "c.nii.gz", volume)
    write_boxes(tmp_path, [("c", 1, rater, "liver", 10, 10, 32, 26) for rater in "ab"], STUDY)
    return tmp_path


def test_a_model_of_another_package_draws_the_masks_of_a_study(folder):
    done = run_crowdqc(folder, "masks", "study.toml", "--model", "otsu", "-q")

    assert done.returncode == 0, done.stderr
    out = folder / "out"
    files = out / "masks" / "c.nii.gz", folder / "c.nii.gz"
    drawn, volume = (nib.load(file).get_fdata() for file in files)
    np.testing.assert_array_equal(drawn, volume > 100)
    assert set(pd.read_csv(out / "masks.csv")["model"]) == {"otsu"}


def test_help_and_errors_name_it(folder):
    assert "otsu" in run_crowdqc(folder, "masks", "--help").stdout
    done = run_crowdqc(folder, "masks", "study.toml", "--model", "otzu", "-q")
    assert done.returncode == 2
    assert "Did you mean 'otsu'?" in done.stderr


def test_the_example_is_short():
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) < 60


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("intensty", "'model' must be one of intensity, intensity3d, .*Did you mean 'intensity'"),
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
    with pytest.raises(InputError, match="or a VolumePredictor; 'intensity' is registered"):
        open_predictor(ModelRequest(model="intensity"))


def test_only_models_that_use_it_ask_for_a_gpu():
    assert not uses_gpu("intensity")


def test_a_model_that_cannot_be_imported_here_may_use_a_gpu_elsewhere(monkeypatch):
    def missing(*_):
        raise InputError("no torch")

    monkeypatch.setattr(plugins, "load", missing)
    assert uses_gpu("medsam")


def test_a_model_whose_masks_are_not_as_many_as_its_boxes_is_named(folder):
    text = EXAMPLE.read_text(encoding="utf-8").replace("Prediction(masks,", "Prediction(masks[:0],")
    (folder / "site" / "example_predictor.py").write_text(text, encoding="utf-8")

    done = run_crowdqc(folder, "masks", "study.toml", "--model", "otsu", "-q")

    assert done.returncode == 2
    assert "the model 'otsu' must give a Prediction with a probability of shape" in done.stderr
