"""Gold boxes of a few cases correct what is said of the others."""

import math

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from crowdqc import Study
from crowdqc.cli import main
from crowdqc.crowd import fit, fit_evidence
from crowdqc.crowd.edge_fit import fit_edges
from crowdqc.crowd.edges import EdgeSettings
from crowdqc.crowd.evidence import evidence
from crowdqc.crowd.gold import calibrated, with_gold
from crowdqc.matching import match

EDGES = ["x0", "y0", "x1", "y1"]
RATERS = ("a", "b", "c", "d")


def truth(rng, n_cases=12, depth=8):
    """One organ on every slice of every case."""
    rows = [(f"c{c:02d}", k) for c in range(n_cases) for k in range(depth)]
    corner, size = rng.uniform(20, 60, (len(rows), 2)), rng.uniform(40, 80, (len(rows), 2))
    boxes = pd.DataFrame(np.hstack([corner, corner + size]), columns=EDGES)
    return pd.concat([pd.DataFrame(rows, columns=["case", "slice"]), boxes], axis=1).assign(
        label="liver"
    )


def drawn(rng, true, *, grow=0.0, sd=0.02):
    """Boxes of raters who all draw too large by the same share, each with noise of their own."""
    edges = true[EDGES].to_numpy()
    side = np.tile(edges[:, 2:] - edges[:, :2], 2)
    boxes = []
    for rater in RATERS:
        off = side * (grow / 2 * np.array([-1, -1, 1, 1]) + sd * rng.standard_normal(edges.shape))
        boxes.append(true.assign(rater=rater, **dict(zip(EDGES, (edges + off).T, strict=True))))
    return pd.concat(boxes, ignore_index=True)


@pytest.fixture(scope="module")
def large():
    """Raters who all draw 12 % too large; the truth, of which three cases are gold."""
    rng = np.random.default_rng(5)
    true = truth(rng)
    matched = match(Study.from_boxes(drawn(rng, true, grow=0.12), shape=(200, 200)))
    return matched, true, true[true["case"] < "c03"]


def errors(matched, crowd, true):
    """Errors of the fused edges and their spreads, of the cases without gold."""
    at = matched.objects[["case", "slice", "label"]].merge(true, how="left")
    rest = (at["case"] >= "c03").to_numpy()
    return (crowd.box - at[EDGES].to_numpy())[rest], crowd.spread[rest]


def test_an_error_that_all_share_is_seen_with_gold_and_only_then(large):
    matched, true, gold = large

    plain, known = (fit(matched, gold=one) for one in (None, gold))
    before, after = (np.abs(errors(matched, one, true)[0]).mean() for one in (plain, known))

    assert (plain.calibration, known.calibration) == ("prior", "gold")
    assert after < before / 2


def test_spreads_hold_on_cases_without_gold(large):
    matched, true, gold = large

    error, spread = errors(matched, fit(matched, gold=gold), true)

    assert 0.9 <= np.mean(np.abs(error) <= 1.96 * spread) <= 1


def test_what_gold_does_not_have_does_not_exist():
    rng = np.random.default_rng(1)
    true = truth(rng, n_cases=4)
    extra = drawn(rng, true.assign(label="spleen"))
    study = Study.from_boxes(pd.concat([drawn(rng, true), extra]), shape=(200, 200))
    matched = match(study)

    data = with_gold(evidence(matched), matched, true[true["case"] == "c00"])

    known = (matched.objects["case"] == "c00").to_numpy()
    liver = (matched.objects["label"] == "liver").to_numpy()
    assert np.isnan(data.real[~known]).all()
    np.testing.assert_array_equal(data.real[known], liver[known].astype(float))
    assert (fit_evidence(data).exists[known & ~liver] < 0.01).all()


def test_an_object_that_lies_elsewhere_than_gold_does_not_exist():
    rng = np.random.default_rng(2)
    true = truth(rng, n_cases=2, depth=4)
    side = true["x1"] - true["x0"]
    moved = true.assign(x0=true["x0"] + 0.7 * side, x1=true["x1"] + 0.7 * side)  # IoU .18
    matched = match(Study.from_boxes(drawn(rng, moved), shape=(300, 300)))

    data = with_gold(evidence(matched), matched, true)

    assert (data.real == 0).all()
    assert np.isnan(data.gold).all()


STUDY = """
[study]
name = "gold"
out = "out"
[labels]
0 = {{ name = "liver", value = 1 }}
[annotations]
format = "table"
path = "boxes.csv"
size = [200, 200]
columns = {{ case = "case", slice = "slice", rater = "rater", label = "label", x0 = "x0", \
y0 = "y0", x1 = "x1", y1 = "y1" }}
[truth]
boxes = "gold.csv"
calibrate = {calibrate}
"""


@pytest.mark.parametrize("calibrate", [False, True])
def test_the_study_file_says_whether_gold_calibrates(tmp_path, calibrate):
    rng = np.random.default_rng(5)
    true = truth(rng)
    drawn(rng, true, grow=0.12).to_csv(tmp_path / "boxes.csv", index=False)
    true[true["case"] < "c03"].assign(rater="expert").to_csv(tmp_path / "gold.csv", index=False)
    file = tmp_path / "study.toml"
    file.write_text(STUDY.format(calibrate=str(calibrate).lower()))

    done = CliRunner().invoke(main, ["fuse", str(file)])

    assert done.exit_code == 0, done.output
    fused = pd.read_csv(tmp_path / "out" / "consensus.csv").merge(
        true, on=["case", "slice", "label"], suffixes=("", "_true")
    )
    rest = fused[fused["case"] >= "c03"]
    width = (rest["x1"] - rest["x0"]) / (rest["x1_true"] - rest["x0_true"])
    assert (width.mean() < 1.05) == calibrate


def by_hand(box, gold, images, spread):
    """The common error, and by how much spreads grow, one box and one edge at a time."""
    n = len(box)
    common = []
    for edge in range(4):
        side = [b[2 + edge % 2] - b[edge % 2] for b in box]
        off = [(b[edge] - g[edge]) / s for b, g, s in zip(box, gold, side, strict=True)]
        common.append(sum(max(min(x, 0.5), -0.5) for x in off) / (n + 4))
    away = sorted(
        abs(b[e] - common[e] * (b[2 + e % 2] - b[e % 2]) - g[e]) / s[e]
        for b, g, s in zip(box, gold, spread, strict=True)
        for e in range(4)
    )
    rank = min(math.ceil(0.95 * (len(away) + 1)), len(away))
    return common, (away[rank - 1] / 1.96) ** (images / (images + 1))


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_what_gold_shows_is_what_it_shows_by_hand(large, factor):
    matched, _, gold = large
    data = with_gold(evidence(matched), matched, gold)
    before = fit_edges(data, EdgeSettings())
    spread = factor * before.spread

    edges, wider = calibrated(data, before, spread)

    known = np.isfinite(data.gold).all(axis=1)
    assert known.sum() == len(gold)
    common, width = by_hand(before.box[known], data.gold[known], len(gold), spread[known])
    side = np.tile(before.box[:, 2:] - before.box[:, :2], 2)
    np.testing.assert_allclose(edges.box, before.box - np.array(common) * side)
    np.testing.assert_allclose(edges.bias, before.bias + np.array(common))
    np.testing.assert_allclose(wider, spread * width)
    moved = np.array(common) * side[data.object]
    np.testing.assert_allclose(edges.without, before.without - moved)
