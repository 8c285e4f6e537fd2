"""Boxes of one rater alone: what jumps is found, what is smooth is not."""

import numpy as np
import pytest

from crowdqc.agreement.continuity import (
    check_continuity,
    edge_jumps,
    measure_roughness,
    neighbour_edges,
)
from crowdqc.matching import match
from tests.crowdqc.agreement.organs import BOX, organ_study


def spoil(case, plane, label, **edges):
    """Move edges of one box by so many px."""

    def change(mine, everything, rng):
        row = (mine["case"] == case) & (mine["slice"] == plane) & (mine["label"] == label)
        for edge, px in edges.items():
            mine.loc[row, edge] += px
        return mine

    return change


def alone(alter=None, **fields):
    given = {"cases": 8, "slices": 24, "seed": 4, **fields}
    return match(
        organ_study({"one": {"noise": 1.0}}, alter={"one": alter} if alter else None, **given)
    )


def test_neighbours_say_where_edges_are_by_brute_force():
    rng = np.random.default_rng(0)
    plane = np.array([0, 1, 3, 4, 5, 9, 0, 1, 2])
    run = np.array([0] * 6 + [1] * 3)
    edges = rng.normal(0, 10, (9, 4))

    found = neighbour_edges(plane, run, edges, reach=2)

    for row in range(9):
        lines = [
            np.array([np.interp(plane[row], plane[[i, j]], edges[[i, j], e]) for e in range(4)])
            for i in range(row - 2, row)
            for j in range(row + 1, row + 3)
            if i >= 0 and j < 9 and run[i] == run[row] == run[j]
        ]
        if lines:
            assert found[row] == pytest.approx(np.median(lines, axis=0))
        else:
            assert np.isnan(found[row]).all()


def test_a_jump_is_the_step_beyond_the_usual():
    plane, run = np.arange(10), np.zeros(10, int)
    edges = np.tile(2.0 * plane[:, None], 4)
    edges[5:] += 30

    jump = edge_jumps(plane, run, edges)

    assert np.isnan(jump[0]).all()
    assert jump[5] == pytest.approx(30)
    assert np.delete(jump, [0, 5], axis=0) == pytest.approx(0)


def test_a_step_over_a_gap_is_held_against_as_many_steps():
    plane, run = np.array([0, 1, 2, 3, 7, 8, 9]), np.zeros(7, int)
    edges = np.tile(2.0 * plane[:, None], 4)
    edges[4:] += 12

    assert edge_jumps(plane, run, edges)[4] == pytest.approx(12)


def test_smooth_runs_are_left_alone():
    assert check_continuity(alone()) == []


def test_a_box_that_stands_out_is_named():
    findings = check_continuity(alone(spoil("0002", 12, "liver", x1=60.0)))

    assert [f.check for f in findings] == ["edge-outlier"]
    found = findings[0]
    assert (found.case, found.slice, found.rater, found.label) == ("0002", 12, "one", "liver")
    assert "the right edge is at" in found.message
    assert found.value == pytest.approx(60 / 110, rel=0.3)


def test_a_run_that_jumps_is_named_where_it_jumps():
    def change(mine, everything, rng):
        row = (mine["case"] == "0001") & (mine["slice"] >= 12) & (mine["label"] == "liver")
        mine.loc[row, ["x0", "x1"]] += 45.0
        return mine

    findings = check_continuity(alone(change))

    assert {(f.check, f.case, f.slice) for f in findings} == {("edge-jump", "0001", 12)}


def test_an_organ_unlike_that_of_all_other_cases_is_named():
    def change(mine, everything, rng):
        row = (mine["case"] == "0003") & (mine["label"] == "spleen")
        mine.loc[row, ["x0", "x1"]] -= 140.0  # on the other side of the body
        return mine

    findings = check_continuity(alone(change))

    assert {(f.check, f.case, f.label) for f in findings} == {
        ("organ-unlike-others", "0003", "spleen")
    }
    assert "mm" in findings[0].message


def test_a_rater_with_a_blank_in_the_name_is_one_rater():
    def change(mine, everything, rng):
        row = (mine["case"] == "0003") & (mine["label"] == "spleen")
        mine.loc[row, ["x0", "x1"]] -= 140.0
        return mine

    name = "Ann Lee"
    study = organ_study({name: {"noise": 1.0}}, alter={name: change}, cases=8, slices=24, seed=4)
    (finding,) = check_continuity(match(study))

    assert finding.rater == name


def test_few_cases_are_not_held_against_each_other():
    def change(mine, everything, rng):
        row = (mine["case"] == "0003") & (mine["label"] == "spleen")
        mine.loc[row, ["x0", "x1"]] -= 140.0
        return mine

    assert check_continuity(alone(change, cases=5)) == []


def test_where_others_read_too_they_say_more():
    study = organ_study(
        {"one": {"noise": 1.0}, "two": {"noise": 1.0}},
        cases=3,
        alter={"one": spoil("0001", 12, "liver", x1=60.0)},
    )

    assert check_continuity(match(study)) == []


def test_roughness_grows_with_the_hand_that_shakes():
    study = organ_study({"calm": {"noise": 0.5}, "shaky": {"noise": 4.0}}, cases=3)
    table = measure_roughness(match(study)).set_index(["rater", "label"])["value"]

    assert (table["shaky"] > 2 * table["calm"]).all()


def test_roughness_is_the_share_of_size_that_edges_scatter_by():
    study = organ_study({"one": {"noise": 2.0}}, cases=6, slices=30, seed=1)
    boxes = study.boxes[study.boxes["label"] == "liver"]
    size = np.median(boxes[BOX].to_numpy()[:, 2:] - boxes[BOX].to_numpy()[:, :2])
    table = measure_roughness(match(study)).set_index("label")["value"]

    # mean |noise| of an edge and of the median of lines between noisy neighbours, roughly
    assert table["liver"] == pytest.approx(1.48 * 0.8 * 2.0 * 1.25 / size, rel=0.35)


def test_nothing_drawn_is_nothing_to_say():
    study = organ_study({"one": {"miss": 1.0}}, cases=2, slices=5)

    assert check_continuity(match(study)) == []
    assert measure_roughness(match(study)).empty
