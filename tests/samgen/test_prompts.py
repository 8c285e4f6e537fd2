import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samgen.prompts import prompt_boxes, prompt_rng
from samgen.settings import PromptSettings

BOX = [100.0, 200.0, 180.0, 230.0]
SHAPE = (512, 400)


def draw(n=9, *, box=BOX, spread=None, shape=SHAPE, seed=0, **changes):
    return prompt_boxes(
        box,
        spread=spread,
        shape=shape,
        rng=np.random.default_rng(seed),
        settings=dataclasses.replace(PromptSettings(n_prompts=n), **changes),
    )


def test_the_first_prompt_is_the_box_itself():
    assert draw()[0].tolist() == BOX
    assert draw(1).tolist() == [BOX]


def test_without_a_spread_edges_stray_as_in_the_training_of_sam():
    # A tenth of the side: 8 px in x, 3 px in y; the limit is 20 * 512 / 1024 = 10 px.
    moved = np.abs(draw(400)[1:] - BOX).max(axis=0)

    assert (moved <= [8, 3, 8, 3]).all()
    assert (moved > [7.9, 2.95, 7.9, 2.95]).all()


def test_large_boxes_stray_by_the_limit():
    moved = np.abs(draw(400, box=[50, 50, 350, 450])[1:] - [50, 50, 350, 450]).max(axis=0)

    assert moved == pytest.approx([10, 10, 10, 10], rel=0.02)
    assert (moved <= 10).all()


def test_with_a_spread_edges_have_that_standard_deviation_and_are_unbiased():
    spread = np.array([1.0, 2.0, 3.0, 0.5])

    moved = draw(2001, spread=spread)[1:] - BOX

    np.testing.assert_allclose(moved.std(axis=0), spread, rtol=0.02)
    np.testing.assert_allclose(moved.mean(axis=0) / spread, 0, atol=0.01)


def test_edges_without_a_spread_take_the_noise_of_the_training():
    moved = np.abs(draw(200, spread=[0.0, np.nan, 0.0, 0.0])[1:] - BOX).max(axis=0)

    assert moved[[0, 2, 3]].tolist() == [0, 0, 0]
    assert 2.9 < moved[1] <= 3


def test_every_edge_visits_every_part_of_its_range_once():
    moved = draw(9)[1:] - BOX
    part = np.floor((moved / [8, 3, 8, 3] + 1) / 2 * 8)

    np.testing.assert_array_equal(np.sort(part, axis=0), np.tile(np.arange(8)[:, None], (1, 4)))


def test_edges_do_not_stray_in_step():
    moved = draw(400)[1:] - BOX

    correlation = np.corrcoef(moved.T) - np.eye(4)

    assert np.abs(correlation).max() < 0.2


@settings(max_examples=50)
@given(
    st.tuples(st.floats(-5, 90), st.floats(-5, 90), st.floats(6, 99), st.floats(6, 99)),
    st.floats(0, 1000),
    st.integers(1, 20),
)
def test_prompts_are_always_boxes_within_the_picture(place, spread, n):
    x, y, width, height = place
    boxes = draw(n, box=[x, y, x + width, y + height], spread=[spread] * 4, shape=(110, 105))

    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= [105, 110]).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"box": [5, 5, 4, 9]}, "reversed"),
        ({"box": [400, 5, 410, 9]}, r"within the picture of 512 rows and 400 columns"),
        ({"spread": [1, 1, -1, 1]}, "four numbers from 0"),
        ({"spread": [1, 1]}, "four numbers from 0"),
    ],
)
def test_what_is_no_box_or_no_spread_is_refused(change, says):
    with pytest.raises(ValueError, match=says):
        draw(**change)


def test_each_object_has_its_own_prompts_whatever_the_order():
    keys = [
        {"case": case, "slice": k, "label": label}
        for case in ("1", "11")
        for k in (1, 11)
        for label in ("liver", "1liver")
    ]

    forwards = [prompt_rng(3, **key).random() for key in keys]
    backwards = [prompt_rng(3, **key).random() for key in keys[::-1]]

    assert forwards == backwards[::-1]
    assert len(set(forwards)) == len(keys)
    assert prompt_rng(4, **keys[0]).random() != forwards[0]


def test_the_generator_is_the_same_on_every_machine():
    # Pinned: a change would give other masks for the same study.
    value = prompt_rng(0, case="0001", slice=7, label="liver").integers(10**6)

    assert value == 12087
