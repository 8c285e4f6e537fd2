"""Work by blocks of rows gives the same bytes as the whole at once."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import crowdqc
from crowdqc.arrays import numbered
from crowdqc.completeness import position
from crowdqc.crowd import fit, sums
from crowdqc.formats import table
from crowdqc.schema import BOX
from tests.commands import call
from tests.studies import write_boxes


@pytest.fixture(scope="module")
def matched():
    """Boxes of three raters, one of whom copies another."""
    boxes = crowdqc.example_boxes()[["case", "slice", "rater", "label", *BOX]]
    copies = boxes[boxes["rater"] == boxes["rater"].iloc[0]].assign(rater="copier")
    together = pd.concat([boxes, copies], ignore_index=True)
    return crowdqc.match(crowdqc.Study.from_boxes(together))


@pytest.mark.parametrize("rows", [1, 7])
def test_the_model_of_the_crowd_is_the_same_by_blocks(matched, monkeypatch, rows):
    whole = fit(matched)
    monkeypatch.setattr(sums, "_ROWS", rows)
    parts = fit(matched)

    for field in dataclasses.fields(whole):
        a, b = getattr(whole, field.name), getattr(parts, field.name)
        if isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b, field.name)
    assert parts.freedom == whole.freedom
    assert parts.shared == whole.shared


def test_jumps_are_the_same_by_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    corner = rng.normal(50, 3, (60, 2)) + 60 * (rng.random((60, 1)) < 0.1)
    boxes, slices = np.hstack([corner, corner + 20]), np.tile(np.arange(15), 4)
    starts = np.arange(0, 61, 15)
    whole = position.jumps(boxes, slices, starts)
    monkeypatch.setattr(position, "_BLOCK", 10)

    assert whole.any()
    assert (position.jumps(boxes, slices, starts) == whole).all()


def test_a_table_is_read_the_same_by_blocks(tmp_path, monkeypatch):
    edges = [(10 + k, 10, "x" if k == 3 else 40, 50) for k in range(6)]
    rows = [("1", k, rater, "liver", *edges[k]) for k in range(6) for rater in "ab"]
    rows += [("2", 0, "a", "spleen", 1, 1, 9, 9), ("", 0, "a", "liver", 1, 1, 9, 9)]
    results = []
    for size in (2**16, 1):
        monkeypatch.setattr(table, "_ROWS", size)
        folder = tmp_path / str(size)
        folder.mkdir()
        call("check", str(write_boxes(folder, rows)), "--quiet")
        names = ("boxes.csv", "readings.csv", "images.csv", "findings.jsonl")
        results.append([(folder / "out" / name).read_bytes() for name in names])

    assert results[0] == results[1]
    assert b"not-a-number" in results[0][-1]


def test_numbered_is_unique_with_its_inverse():
    for codes in ([5, 0, 5, 2], [10**12, 3, 3], [-2, 7], []):
        known, of = numbered(np.array(codes, np.int64))
        expected, inverse = np.unique(np.array(codes, np.int64), return_inverse=True)
        assert known.tolist() == expected.tolist()
        assert of.tolist() == inverse.tolist()
