import inspect
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from crowdqc import plugins
from crowdqc.config import Fuse
from crowdqc.crowd import fit
from crowdqc.findings import InputError
from crowdqc.fusion import Fused, Method, ask, fuse
from crowdqc.fusion.ask import expected_error
from crowdqc.fusion.interpolate import interpolate_gaps
from crowdqc.fusion.table import rounded, whole_spread
from crowdqc.geometry import paired_iou
from crowdqc.matching import match
from crowdqc.schema import INTERPOLATED, SPREAD, TABLES, Study
from crowdqc.stages.study import fuse_options
from tests.crowdqc.crowds import BOX, crowd_study
from tests.crowdqc.gold import f1, gold_study

every_method = pytest.mark.parametrize("method", plugins.names("crowdqc.fusion"))


def small(boxes, *, raters, single=("organ",)):
    """A study of slices that all raters read: boxes are (slice, rater, x0, y0, x1, y1)."""
    frame = pd.DataFrame(boxes, columns=["slice", "rater", *BOX])
    frame = frame.assign(case="c", label="organ", box=range(len(frame)))
    drew = set(zip(frame["slice"], frame["rater"], strict=True))
    slices = sorted(set(frame["slice"]))
    readings = [
        ("c", z, r, "boxed" if (z, r) in drew else "reviewed_empty") for z in slices for r in raters
    ]
    return Study(
        "small",
        ("organ",),
        pd.DataFrame({"case": "c", "slice": slices, "height": 99, "width": 99}),
        pd.DataFrame(readings, columns=["case", "slice", "rater", "state"]),
        frame,
        single=frozenset(single),
    )


@every_method
def test_every_object_has_a_row_of_the_table(method):
    study, _ = crowd_study(0, sd=[1.0, 2.0, 9.0], miss=0.2, things=20, extra=0.2, single=False)
    matched = match(study)
    found = fuse(matched, method=method)

    assert list(found.columns) == [column.name for column in TABLES["consensus"]]
    assert len(found) == len(matched.objects)
    assert set(found["method"]) == {method}
    assert set(found["state"]) <= {"agreed", "no_consensus"}
    assert (found["support"] <= found["n_raters"]).all()
    assert found[BOX].notna().all(axis=None)


@every_method
def test_nobody_agrees_on_boxes_that_lie_apart(method):
    study = small([(0, "a", 0, 0, 9, 9), (0, "b", 60, 60, 70, 72)], raters="ab")
    found = fuse(match(study), method=method)
    assert found["state"].tolist() == ["no_consensus"]
    assert found["support"].iloc[0] < 2


@every_method
def test_one_asked_rater_is_single_and_has_no_score(method):
    found = fuse(match(small([(0, "a", 1, 2, 9, 8)], raters="a")), method=method)
    assert found["state"].tolist() == ["single"]
    assert found["raters"].tolist() == ["a"]
    assert np.isnan(found["score"]).all()
    np.testing.assert_allclose(found[BOX], [[1, 2, 9, 8]])


def test_quorum_and_least_number_of_raters():
    box = (10, 10, 30, 30)
    study = small([(0, "a", *box), (0, "b", *box), (1, "a", *box)], raters="abcde")
    matched = match(study)

    def states(**settings):
        return fuse(matched, method="median", **settings)["state"].tolist()

    assert states() == ["agreed", "no_consensus"]
    assert states(quorum=0.4) == ["agreed", "no_consensus"]
    assert states(quorum=0.41) == ["no_consensus", "no_consensus"]
    assert states(quorum=0.2, min_raters=1) == ["agreed", "agreed"]
    assert states(min_raters=3) == ["no_consensus", "no_consensus"]


def test_two_raters_suffice_where_only_two_were_asked():
    box = (10, 10, 30, 30)
    study = small([(0, "a", *box), (0, "b", *box)], raters="ab")
    assert fuse(match(study), method="median", min_raters=3)["state"].tolist() == ["agreed"]


def test_edges_need_a_likely_object():
    study, _ = crowd_study(
        2, sd=[2.0] * 4, miss=0.05, things=60, extra=[0, 0, 0, 1.0], single=False
    )
    found = fuse(match(study))
    invented = found["raters"] == "r3"
    assert (found.loc[invented, "state"] == "no_consensus").all()
    assert found.loc[invented, "score"].max() < 0.5 < found.loc[~invented, "score"].min()
    everything = fuse(match(study), probability=1.0)
    assert (everything["state"] == "no_consensus").all()


def test_supporters_are_named_and_dissenters_are_not():
    near, far = (10, 10, 30, 30), (60, 60, 90, 90)
    study = small([(0, "b", *near), (0, "a", *near), (0, "c", *far)], raters="abcd")
    found = fuse(match(study), method="median").iloc[0]
    assert (found["raters"], found["support"], found["n_raters"]) == ("a b", 2, 4)


def test_edges_are_rounded_to_whole_pixels_when_asked():
    drawn = [("a", 10, 30), ("b", 11, 33)]
    study = small(
        [(z, r, x0 + z, 10 + z, x1 + z, 30 + z) for z in (0, 2) for r, x0, x1 in drawn],
        raters="ab",
    )
    matched = match(study)

    exact = fuse(matched, method="mean", interpolate=True, whole_pixels=False)
    whole = fuse(matched, method="mean", interpolate=True, whole_pixels=True)
    pd.testing.assert_frame_equal(whole, fuse(matched, method="mean", interpolate=True))

    assert exact[BOX].to_numpy().tolist()[0] == [10.5, 10, 31.5, 30]
    assert whole[BOX].to_numpy().tolist() == [[11, 10, 32, 30], [12, 11, 33, 31], [13, 12, 34, 32]]
    spread = [f"spread_{edge}" for edge in BOX]
    np.testing.assert_allclose(whole[spread] ** 2, exact[spread] ** 2 + 1 / 12)
    rest = [*BOX, *spread]
    pd.testing.assert_frame_equal(exact.drop(columns=rest), whole.drop(columns=rest))


def test_only_edges_that_are_known_to_less_than_two_pixels_are_rounded():
    rng = np.random.default_rng(0)
    study = small(
        [
            (k, rater, *np.round([100, 100, 300, 300] + sd * rng.normal(size=4)))
            for k, sd in enumerate([1, 1, 1, 1, 9, 9, 9, 9])
            for rater in "abc"
        ],
        raters="abc",
    )
    of = {whole: fuse(match(study), whole_pixels=whole) for whole in (None, True, False)}
    sure = of[False][SPREAD].to_numpy() < 2
    assert 0 < sure.sum() < sure.size
    for columns in (BOX, SPREAD):
        found, whole, exact = (frame[columns].to_numpy() for frame in of.values())
        np.testing.assert_array_equal(found, np.where(sure, whole, exact))


def test_a_box_that_rounding_would_empty_is_left():
    found = rounded(np.array([[0.6, -0.5, 1.4, 2.0], [4.4, 1.0, 4.6, 1.4]]))
    np.testing.assert_array_equal(found, [[0.6, 0, 1.4, 2], [4, 1.0, 5, 1.4]])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("medain", "fusion must be one of edges, .*got 'medain'. Did you mean 'median'"),
        ("odd", "fusion method 'odd' must be a crowdqc.fusion.Method; got a builtin_function"),
    ],
)
def test_what_is_no_method_is_refused(monkeypatch, name, says):
    if name == "odd":
        monkeypatch.setattr(plugins, "load", lambda *_: max)
    with pytest.raises(InputError, match=says):
        fuse(match(small([(0, "a", 0, 0, 1, 1)], raters="a")), method=name)


def test_the_study_file_refuses_a_method_that_is_not_registered():
    assert Fuse().method == "edges"
    with pytest.raises(ValueError, match="fusion method must be one of edges, majority, mean"):
        Fuse(method="medain")


@pytest.mark.parametrize("knows", [False, True])
def test_a_method_declares_its_quorum_and_whether_its_score_is_a_probability(monkeypatch, knows):
    """Three of four raters support the box, whose score is .2."""
    own = Method(lambda data: Fused(data.boxes[:1], data.boxes[:1], np.array([0.2])), 0.7, knows)
    monkeypatch.setattr(plugins, "load", lambda *_: own)
    matched = match(small([(0, r, 10, 10, 30, 30) for r in "abc"], raters="abcd"))

    state = "no_consensus" if knows else "agreed"
    assert fuse(matched, method="own")["state"].tolist() == [state]
    assert fuse(matched, method="own", probability=0.2)["state"].tolist() == ["agreed"]
    assert fuse(matched, method="own", quorum=0.76)["state"].tolist() == ["no_consensus"]


def test_every_key_of_the_study_file_reaches_fusion():
    config = SimpleNamespace(fuse=Fuse(whole_pixels=True))
    options = fuse_options(config)
    assert options == config.fuse.model_dump(exclude={"shown"})
    tables = {"matched", "gold", "settled", "shown"}
    assert set(options) == set(inspect.signature(fuse).parameters) - tables


@pytest.mark.parametrize("seed", range(3))
def test_careless_rater_hurts_edges_least(seed):
    """One of five is careless: above the median and above every rater."""
    study, truth = crowd_study(seed, sd=[1.2, 1.5, 1.8, 1.5, 8.0], things=100)
    matched = match(study)

    def mean_iou(frame):
        return paired_iou(frame[BOX], truth[frame["slice"]]).mean()

    fused = {method: mean_iou(fuse(matched, method=method)) for method in ("edges", "median")}
    raters = [mean_iou(of) for _, of in study.boxes.groupby("rater")]
    assert fused["edges"] > fused["median"] > max(raters)


def test_gold_is_reached(data):
    """The half of the set that is here, with the default setting."""
    study, gold = gold_study(data)
    found = fuse(match(study))
    agreed = found[found["state"] == "agreed"]
    assert f1(agreed, gold, 0.5) >= 0.845
    assert f1(agreed, gold, 0.75) >= 0.635


# Between slices


def consensus_of(slices, *, state="agreed", step=2.0, spread=0.5):
    slices = np.asarray(slices)
    frame = pd.DataFrame({"case": "c", "slice": slices, "label": "organ", "state": state})
    start = np.array([10.0, 20, 50, 60])
    frame[BOX] = start + slices[:, None] * np.array([-step, 0, step, 0])
    frame[[f"spread_{e}" for e in BOX]] = spread
    return frame.assign(support=3, n_raters=3, score=0.9, raters="a b c", method="edges")


def test_gaps_are_filled_on_the_line_and_marked():
    found = interpolate_gaps(consensus_of([3, 4, 8, 9]))

    assert found["slice"].tolist() == [3, 4, 5, 6, 7, 8, 9]
    filled = found[found["method"] == INTERPOLATED]
    assert filled["slice"].tolist() == [5, 6, 7]
    np.testing.assert_allclose(filled["x1"], [60, 62, 64])
    assert (filled["support"] == 0).all()
    assert (filled["raters"] == "").all()
    assert (filled["state"] == "agreed").all()


def test_spread_grows_with_the_distance_to_drawn_slices():
    found = interpolate_gaps(consensus_of([0, 1, 7, 8])).set_index("slice")["spread_x0"]
    assert found[1] < found[2] < found[3] < found[4]
    assert found[4] > found[5] > found[6] > found[7]
    shorter = interpolate_gaps(consensus_of([0, 1, 3, 4])).set_index("slice")["spread_x0"]
    assert shorter[2] < found[4]


def test_spread_of_a_random_walk_is_that_of_its_bridge():
    """Edges that walk at random by 1 px a slice: the variance in a gap is n t (1 - t)."""
    rng = np.random.default_rng(0)
    rows = consensus_of(np.arange(400), step=0, spread=0.0)
    rows[BOX] += rng.normal(0, 1, (400, 4)).cumsum(axis=0)
    rows[["x1", "y1"]] += 1000
    rows = rows[~rows["slice"].isin([101, 102, 103])]
    found = interpolate_gaps(rows).set_index("slice")
    expected = np.sqrt([4 * t * (1 - t) for t in (0.25, 0.5, 0.75)])
    mean = found.loc[[101, 102, 103], [f"spread_{e}" for e in BOX]].mean(axis=1)
    np.testing.assert_allclose(mean, expected, rtol=0.12)


def test_ends_are_not_extrapolated_and_dissent_is_a_gap():
    rows = consensus_of([2, 3, 4])
    rows.loc[1, "state"] = "no_consensus"
    found = interpolate_gaps(rows)
    assert found["slice"].tolist() == [2, 3, 3, 4]
    assert (found["method"] == INTERPOLATED).tolist() == [False, False, True, False]
    none = consensus_of([2, 3], state="no_consensus")
    assert len(interpolate_gaps(none)) == 2
    assert len(interpolate_gaps(none.iloc[:0])) == 0


def test_neighbour_of_one_rater_makes_a_single():
    rows = consensus_of([2, 4])
    rows.loc[1, "state"] = "single"
    assert interpolate_gaps(rows)["state"].tolist() == ["agreed", "single", "single"]


def test_labels_that_repeat_on_a_slice_are_left_alone():
    rows = pd.concat([consensus_of([2, 4]), consensus_of([2])])
    assert len(interpolate_gaps(rows)) == 3


def test_fuse_interpolates_when_asked():
    box = (10, 10, 30, 30)
    study = small([(z, r, *box) for z in (0, 2) for r in "ab"], raters="ab")
    found = fuse(match(study), interpolate=True)
    assert found["slice"].tolist() == [0, 1, 2]
    np.testing.assert_allclose(found[BOX], [box] * 3)


# Risk


def test_expected_error_takes_the_better_decision():
    np.testing.assert_allclose(
        expected_error(np.array([1.0, 0.8, 0.3, 0.0]), np.array([0.2, 0.0, 0.5, 1.0])),
        [0.2, 0.2, 0.3, 0.0],
    )


def test_ask_lists_the_doubtful_first():
    study, _ = crowd_study(
        1,
        sd=[1.0, 1.0, 1.0, 1.0, 2.0],
        miss=[0, 0, 0.4, 0.4, 0.4],
        things=60,
        extra=0.1,
        single=False,
    )
    found = ask(match(study))
    assert len(found) == match(study).objects["object"].nunique()
    assert (found["value"].diff().dropna() <= 0).all()
    assert (found["value"] >= 0).all()
    assert (found["value"] <= found["expected_error"]).all()
    assert found["expected_error"].between(0, 1).all()


def test_value_is_the_error_now_less_the_mean_error_after_either_answer():
    study, _ = crowd_study(
        1, sd=[1.0, 1.0, 3.0], miss=[0, 0.3, 0.4], things=40, extra=0.2, single=False
    )
    matched = match(study)
    crowd = fit(matched)
    found = ask(matched).set_index("object")
    read = crowd.evidence.asked_rater
    draws, joins = crowd.detection[read].mean(), crowd.invention[read].mean()
    usual = np.sqrt((crowd.sd[crowd.evidence.rater] ** 2).mean(axis=0))
    for k in found.index:
        size = np.tile(crowd.box[k, 2:] - crowd.box[k, :2], 2)
        now = crowd.spread[k] / size
        voices = crowd.voice[crowd.evidence.object == k].sum()
        common = crowd.shared**2
        own = now**2 / (1 + common * voices)
        then = 1 / np.sqrt(1 / own + 1 / (usual * crowd.difficulty[k]) ** 2)
        then = np.minimum(then * np.sqrt(1 + common * (voices + 1)), now)
        p, after = crowd.exists[k], 0.0
        for real, false, spread in ((draws, joins, then), (1 - draws, 1 - joins, now)):
            chance = p * real + (1 - p) * false
            q = p * real / chance
            wrong = min(1.0, np.sqrt(2 / np.pi) * spread.sum())
            after += chance * min(1 - q + q * wrong, q)
        expected = max(found.loc[k, "expected_error"] - after, 0)
        assert found.loc[k, "value"] == pytest.approx(expected, abs=1e-9)


def test_risk_ranks_the_error_against_the_truth():
    rng = np.random.default_rng(0)
    study, truth = crowd_study(3, sd=[2.0] * 5, things=150)
    wild = study.boxes["slice"].isin(range(0, 150, 3)).to_numpy()
    boxes = study.boxes.copy()
    noise = np.clip(rng.normal(0, 6, (wild.sum(), 4)), -9, 9)
    boxes.loc[wild, BOX] = boxes.loc[wild, BOX].to_numpy() + noise
    study = Study(
        study.name, study.labels, study.images, study.readings, boxes, single=study.single
    )
    matched = match(study)
    fused = fuse(matched)
    risk = ask(matched).sort_values("object")["expected_error"].to_numpy()
    error = 1 - paired_iou(fused[BOX], truth[fused["slice"]])
    assert pd.Series(risk).corr(pd.Series(error), method="spearman") > 0.5


def test_ask_knows_nothing_where_nothing_was_drawn_twice():
    found = ask(match(small([(0, "a", 0, 0, 5, 5)], raters="a")))
    assert found[["expected_error", "value"]].isna().all(axis=None)


@pytest.mark.parametrize("spread", [0.05, 0.2, 0.3, 0.38, 0.5, 0.8, 0.95, 1.3, 1.9])
def test_spreads_of_edges_on_whole_pixels_hold_what_they_say(spread):
    """The truth is a rounded draw from what is known of it, before the edge was rounded."""
    rng = np.random.default_rng(0)
    edge = rng.uniform(10, 20, (20_000, 4))
    known = np.full(edge.shape, spread)
    truth = np.floor(edge + spread * rng.standard_normal(edge.shape) + 0.5)

    wide = whole_spread(edge, known)

    off = np.abs(np.floor(edge + 0.5) - truth)
    assert (wide >= np.hypot(known, 12**-0.5) - 1e-12).all()
    assert 0.93 < (off <= 1.96 * wide).mean() <= 1
    centre = np.abs(edge - np.floor(edge) - 0.5) > 0.4  # near a whole px
    assert (off <= 1.96 * wide)[centre].mean() > 0.89


def test_spreads_that_are_not_known_stay_unknown_on_whole_pixels():
    found = whole_spread(np.zeros((1, 4)), np.array([[np.nan, 0.0, 5.0, 0.4]]))
    np.testing.assert_allclose(found, [[np.nan, 12**-0.5, np.hypot(5, 12**-0.5), 1.01 / 1.96]])
