"""Runs go on where they were cut short, on one machine or many, and do nothing twice."""

import dataclasses
import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest

from crowdqc.config import Window
from crowdqc.engine.cluster import RayEngine
from samgen.generate import Task, _Tracker, generate_masks
from samgen.predictor import BoxPredictor, LazyPredictor
from tests.ray_nodes import say_and_wait, travel
from tests.samgen.painting import (
    LABELS,
    MANY,
    THREE,
    Painter,
    files,
    generate,
    volume,
)


def test_a_run_that_was_cut_short_goes_on_and_ends_with_the_same_bytes(tmp_path, images):
    whole = generate(THREE, images, tmp_path / "whole", settings=MANY)
    with pytest.raises(KeyboardInterrupt):
        generate(THREE, images, tmp_path / "cut", predictor=Painter(limit=3), settings=MANY)
    done = set(files(tmp_path / "cut"))  # case a is done, case b was not begun to write
    assert done == {".a.json.hmac", *(n for n in files(tmp_path / "whole") if n.startswith("a"))}

    model = Painter()
    again = generate(THREE, images, tmp_path / "cut", predictor=model, settings=MANY)

    assert model.encoded == 4
    pd.testing.assert_frame_equal(again, whole)
    assert files(tmp_path / "cut") == files(tmp_path / "whole")


class Waiting(Painter):
    """Paints only when told to."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def encode(self, picture):
        say_and_wait(self.folder, "encodes")
        return super().encode(picture)


def test_a_cluster_that_loses_a_node_draws_the_same_bytes(tmp_path, images, nodes):
    travel(__name__)
    whole = generate(THREE, images, tmp_path / "whole", settings=MANY)
    notes = tmp_path / "notes"
    notes.mkdir()
    model = LazyPredictor(partial(Waiting, notes))

    with nodes.doomed(notes) as raylet:
        engine = RayEngine(address=nodes.address)
        table = generate(
            THREE, images, tmp_path / "ray", predictor=model, settings=MANY, engine=engine
        )

    assert raylet.returncode == -9  # killed while it drew
    pd.testing.assert_frame_equal(table, whole)
    assert files(tmp_path / "ray") == files(tmp_path / "whole")


def test_a_lazy_model_is_loaded_once_and_where_it_is_used():
    loads = []
    model = LazyPredictor(lambda: loads.append(1) or Painter())
    assert loads == []

    assert (model.name, model.signature, model.last_wins) == ("painter", "painter 1", False)
    assert loads == [1]
    assert isinstance(model, BoxPredictor)
    other = pickle.loads(pickle.dumps(LazyPredictor(Painter)))  # noqa: S301 - our own
    assert other.name == "painter"


def test_the_order_of_rows_does_not_matter(tmp_path, images):
    first = generate(THREE, images, tmp_path / "first", settings=MANY)
    second = generate(THREE[::-1], images, tmp_path / "second", settings=MANY)

    pd.testing.assert_frame_equal(first, second)
    assert files(tmp_path / "first") == files(tmp_path / "second")


def test_nothing_is_done_twice(tmp_path, images):
    said = []
    first = generate(THREE, images, tmp_path / "out", say=said.append)
    model = Painter()

    second = generate(THREE, images, tmp_path / "out", predictor=model, say=said.append)

    assert model.encoded == 0
    pd.testing.assert_frame_equal(first, second)
    assert said[0] == "a: 3 masks"
    assert said[-1] == "c: 3 masks are up to date"


@pytest.mark.parametrize("change", ["box", "seed", "model", "second", "image", "value", "window"])
def test_a_case_whose_input_changed_is_done_again(tmp_path, images, change):
    generate(THREE, images, tmp_path / "out", settings=MANY)
    model, prompts, settings, labels = Painter(), THREE.copy(), MANY, LABELS
    second = None
    match change:
        case "box":
            prompts["x0"] += 0.5
        case "seed":
            settings = dataclasses.replace(MANY, seed=1)
        case "model":
            model.signature = "painter 2"
        case "second":
            second = Painter()
        case "image":
            for path in images.values():
                volume(path, np.diag([1, 1, 3, 1]))
        case "value":
            labels = {**LABELS, "liver": 8}
        case "window":
            settings = dataclasses.replace(MANY, window=Window(level=0, width=90))

    task = Task(labels=labels, predictor=model, settings=settings, second=second)
    generate_masks(prompts, task, images=images, out=tmp_path / "out")

    assert model.encoded == 6


def test_progress_counts_the_slices_that_are_drawn(tmp_path, images):
    told = []
    settings = {"settings": MANY, "progress": lambda *counts: told.append(counts)}

    generate(THREE[THREE["case"] == "a"], images, tmp_path / "out", **settings)
    assert told == [(1, 2), (1, 2), (0, 2)]

    told.clear()
    generate(THREE, images, tmp_path / "out", **settings)
    assert sum(done for done, _ in told) == 4
    assert told[0] == (0, 4)
    assert told[-1] == (0, 4)


def test_progress_of_whole_cases_alone_comes_to_the_same():
    told = []
    tracker = _Tracker({"a": 2, "b": 3, "c": 4}, lambda *counts: told.append(counts))

    tracker.case_done("a", new=True)
    tracker.case_done("b", new=False)
    tracker.case_done("c", new=True)

    assert told == [(2, 9), (0, 6), (4, 6)]
