import numpy as np
import pandas as pd
import pytest

from samgen import forecast
from samgen.forecast import Rates, list_work, measure_rates
from samgen.generate import Task, generate_masks
from samgen.settings import MaskSettings, PromptSettings
from tests.samgen.painting import LABELS, THREE, Painter, consensus, volume

SETTINGS = MaskSettings(prompts=PromptSettings(n_prompts=5))


@pytest.fixture
def images(tmp_path):
    affine = np.diag([1, 1, 2, 1])
    shapes = {"a": (30, 24, 5), "b": (60, 48, 5), "c": (30, 24, 5)}
    return {
        case: volume(tmp_path / f"{case}.nii.gz", affine, shape) for case, shape in shapes.items()
    }


def task(model=None, **more):
    return Task(labels=LABELS, predictor=model or Painter(), settings=SETTINGS, **more)


def test_work_is_counted_case_by_case(tmp_path, images):
    unused = consensus([1, "liver", 2, 3, 10, 8]).assign(case="a", state="no_consensus")
    generate_masks(THREE[THREE["case"] == "b"], task(), images=images, out=tmp_path / "out")

    table = list_work(pd.concat([THREE, unused]), task(), images=images, out=tmp_path / "out")

    assert table["case"].tolist() == ["a", "b", "c"]
    assert table["current"].tolist() == [False, True, False]
    counts = table[["slices", "objects", "prompts"]].to_numpy().tolist()
    assert counts == [[2, 3, 15]] * 3


def test_times_are_those_of_one_slice(tmp_path, images, monkeypatch):
    model, now = Painter(), [0.0]
    monkeypatch.setattr(forecast.time, "perf_counter", lambda: now[0])

    class Slow(Painter):
        def encode(self, picture):
            now[0] += 7
            return super().encode(picture)

        def predict(self, encoded, boxes):
            now[0] += 0.5 * len(boxes)
            return super().predict(encoded, boxes)

    model = Slow()
    rates = measure_rates(THREE, task(model), images=images, cases=["a", "b"])

    assert model.encoded == 1  # a slow one is not encoded twice
    assert (rates.slice_s, rates.prompt_s, rates.volume_s) == (7, 0.5, 0)
    assert rates.where == "slice 1 of a"
    assert rates.device_gb == 0
    both = measure_rates(THREE, task(model, second=Slow()), images=images, cases=["a"])
    assert (both.slice_s, both.prompt_s) == (14, 1)


def test_what_is_quick_is_measured_warm(images):
    model = Painter()

    measure_rates(THREE, task(model), images=images, cases=["c"])

    assert model.encoded == 2


def test_a_larger_volume_takes_more_memory(images):
    small = measure_rates(THREE, task(), images=images, cases=["a", "c"])
    large = measure_rates(THREE, task(), images=images, cases=["a", "b"])

    more = (60 * 48 - 30 * 24) * 5 * forecast.VOXEL_BYTES / 1e9
    assert small.host_gb > 0.01
    assert large.host_gb == pytest.approx(small.host_gb + more, abs=0.2)


def test_the_parts_are_summed_up():
    rates = Rates(volume_s=2, slice_s=8, prompt_s=0.03, host_gb=1, device_gb=0, where="")

    assert rates.seconds(cases=3, slices=10, prompts=800) == pytest.approx(6 + 80 + 24)
