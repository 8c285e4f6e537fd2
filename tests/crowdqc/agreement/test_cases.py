"""Mistakes of files and of tools: whole cases that are wrong, and edges on a grid."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdqc.agreement.cases import _others_drew
from crowdqc.crowd.grid import tool_grid
from crowdqc.findings import from_cell
from tests.crowdqc.agreement.organs import BOX, GOOD, SIZE, copy_of, review

SOME = ["0001", "0004"]
DEPTH = 24
KIDNEYS = {"right_kidney": "left_kidney", "left_kidney": "right_kidney"}


def in_cases(cases, change):
    """`change` applied to all boxes of some cases."""

    def part(mine, everything, rng):
        here = mine["case"].isin(cases)
        mine.loc[here] = change(mine[here].copy())
        return mine

    return part


def mirrored(boxes):
    return boxes.assign(x0=SIZE[1] - boxes["x1"], x1=SIZE[1] - boxes["x0"])


def smaller(boxes):
    return boxes.assign(**{edge: boxes[edge] / 2 for edge in BOX})


def exchanged(boxes):
    return boxes.assign(label=boxes["label"].replace(KIDNEYS))


def of_case(other):
    """For a case the boxes of `other` were handed in."""

    def change(mine, everything, rng):
        theirs = mine[mine["case"] == other]
        return pd.concat([mine[mine["case"] != "0003"], theirs.assign(case="0003")])

    return change


def on_grid(step):
    def change(mine, everything, rng):
        edges = step * (mine[BOX] / step).round()
        edges[["x1", "y1"]] = np.maximum(edges[["x1", "y1"]], edges[["x0", "y0"]].to_numpy() + step)
        return mine.assign(**edges)

    return change


def reversed_slices(boxes):
    return boxes.assign(slice=DEPTH - 1 - boxes["slice"])


def twice(share):
    """A share of the boxes stand again, some px aside."""

    def change(mine, everything, rng):
        again = mine[rng.random(len(mine)) < share]
        return pd.concat([mine, again.assign(**{edge: again[edge] + 3 for edge in BOX})])

    return change


def said(found, check):
    return [one for one in found.findings if one.check == check]


def reviewed(change, rater="bad", **fields):
    return review({**GOOD, rater: {"noise": 1.5}}, seed=3, alter={rater: change}, **fields)


@pytest.mark.parametrize("change", [mirrored, smaller, exchanged])
def test_whole_cases_are_a_fault_that_names_them(change):
    found = reviewed(in_cases(SOME, change))

    (fault,) = said(found, "cases-astray")
    row = found.raters.set_index("rater").loc["bad"]
    assert fault.rater == "bad"
    assert "in 2 of 6 cases (0001, 0004)" in fault.message
    assert {one.case for one in fault.examples} <= set(SOME)
    assert "rater-scatters" not in from_cell(row["faults"])
    assert row["verdict"] in ("review", "reject")


def test_a_single_case_is_found_and_no_fault():
    found = reviewed(in_cases(SOME[:1], mirrored))

    one = said(found, "cases-astray")[0]
    assert (one.case, one.rater) == ("0001", "bad")
    assert "cases-astray" not in from_cell(found.raters.set_index("rater").loc["bad", "faults"])


def test_of_a_rater_of_whom_all_cases_are_wrong_others_speak():
    found = reviewed(in_cases([f"{case:04d}" for case in range(6)], mirrored))

    assert said(found, "cases-astray") == []
    assert said(found, "boxes-astray") or said(found, "labels-swapped")


def test_boxes_of_another_case_are_named_with_both():
    found = reviewed(of_case("0002"))

    texts = [one.message for one in said(found, "cases-astray") if one.case is None]
    assert any("to the pixel in another, in 2 of 6 cases (0002, 0003)" in text for text in texts)


def test_good_raters_have_no_case_astray():
    assert said(review(GOOD, seed=5), "cases-astray") == []


@pytest.mark.parametrize("n_others", [4, 0])
def test_two_with_one_tool_did_not_copy(n_others):
    names = {name: {"noise": 1.5} for name in [*list(GOOD)[:n_others], "a", "b"]}
    found = review(names, seed=3, alter=dict.fromkeys("ab", on_grid(8.0)))

    assert said(found, "boxes-copied") == said(found, "raters-dependent") == []
    (tool,) = said(found, "edges-on-grid")
    assert "The edges of a, b lie on multiples of 8 px" in tool.message
    assert tool.severity == "note"


def test_who_copied_with_the_same_tool_is_named():
    names = {**GOOD, "a": {"noise": 1.5}, "b": {"noise": 1.5}}
    found = review(names, seed=3, alter={"a": on_grid(8.0), "b": copy_of("a")})

    assert {one.rater for one in said(found, "boxes-copied")} == {"a", "b"}


def test_a_grid_is_told_of_many_edges_only():
    rng = np.random.default_rng(0)
    lines = rng.integers(0, 60, (30, 4)).astype(float)

    assert tool_grid(2.5 * lines) == pytest.approx(2.5)
    assert tool_grid(lines) == 1.0
    assert tool_grid(4 * lines[:3]) == 0.0
    assert tool_grid(lines + rng.random((30, 4))) == 0.0


def test_cases_whose_slices_are_counted_from_the_other_end_are_named():
    def low(mine, everything, rng):
        return mine[mine["slice"] < DEPTH // 2]

    def backwards(mine, everything, rng):
        return in_cases(SOME, reversed_slices)(low(mine, everything, rng), everything, rng)

    alter = dict.fromkeys(GOOD, low) | {"bad": backwards}
    found = review({**GOOD, "bad": {"noise": 1.5}}, seed=3, slices=DEPTH, alter=alter)

    (fault,) = said(found, "cases-astray")
    assert fault.rater == "bad"
    assert "counted from the other end" in fault.message
    assert all(case in fault.message for case in SOME)


@settings(max_examples=20)
@given(st.data())
def test_who_else_drew_somewhere_is_counted_as_by_loops(data):
    n = data.draw(st.integers(1, 30))
    number = st.lists(st.integers(0, 6), min_size=n, max_size=n)
    drawn, rater, at = (np.array(data.draw(number)) for _ in range(3))

    found = _others_drew(drawn, rater, at=at)

    assert found.tolist() == [
        any(d == a and s != r for d, s in zip(drawn, rater, strict=True))
        for a, r in zip(at, rater, strict=True)
    ]


@pytest.mark.parametrize("step", [1, -2])
def test_who_counts_slices_from_another_number_is_named(step):
    def middle(mine, everything, rng):
        return mine[mine["slice"].between(4, DEPTH - 5)]

    def renumbered(mine, everything, rng):
        return middle(mine, everything, rng).assign(slice=lambda boxes: boxes["slice"] + step)

    alter = dict.fromkeys(GOOD, middle) | {"bad": renumbered}
    found = review({**GOOD, "bad": {"noise": 1.5}}, seed=3, slices=DEPTH, alter=alter)

    (fault,) = said(found, "slices-offset")
    assert fault.rater == "bad"
    ago = "1 slice after" if step > 0 else "2 slices before"
    assert f"{ago} the others" in fault.message
    assert found.raters.set_index("rater").loc["bad", "verdict"] != "accept"


def test_good_raters_and_unsteady_ends_are_no_step():
    def ends_late(mine, everything, rng):
        last = mine.groupby(["case", "label"])["slice"].transform("max")
        return mine[mine["slice"] < last - 1]

    assert said(review(GOOD, seed=5), "slices-offset") == []
    assert said(reviewed(ends_late), "slices-offset") == []


def test_who_draws_organs_twice_is_named_and_who_does_so_once_is_not():
    (fault,) = said(reviewed(twice(0.2)), "boxes-doubled")
    assert fault.rater == "bad"
    assert fault.value == pytest.approx(0.2 / 1.2, abs=0.04)

    assert said(reviewed(twice(0.01)), "boxes-doubled") == []
