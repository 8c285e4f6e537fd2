import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samgen.prompts import make_prompts, prompt_rng
from samgen.settings import PromptSettings

BOX = [100.0, 200.0, 180.0, 230.0]
SHAPE = (512, 400)


def make(n=9, *, box=BOX, shape=SHAPE, seed=0, raters=(), spread=None, noise="sam", **changes):
    return make_prompts(
        box,
        raters=raters,
        spread=spread,
        shape=shape,
        rng=np.random.default_rng(seed),
        settings=PromptSettings(n_prompts=n, **changes),
        noise=noise,
    )


def draw(n=9, **more):
    return make(n, **more).boxes


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
        ({"raters": [[500, 5, 600, 9]], "prompt_boxes": "both"}, r"within the picture.*500"),
    ],
)
def test_what_is_no_box_or_no_spread_is_refused(change, says):
    with pytest.raises(ValueError, match=says):
        draw(**change)


RATERS = [[101.0, 201, 181, 231], [98, 199, 178, 229], [104, 205, 183, 236]]


def test_the_boxes_of_raters_are_prompts_and_each_has_as_many_as_the_others():
    made = make(11, raters=RATERS, prompt_boxes="both")

    assert made.sizes == (3, 3, 3, 2)
    assert made.boxes[[0, 3, 6, 9]].tolist() == [BOX, *RATERS]
    assert made.box.tolist() == BOX
    for n, source in enumerate([BOX, *RATERS]):
        mine = made.boxes[sum(made.sizes[:n]) : sum(made.sizes[: n + 1])]
        assert (np.abs(mine - source) <= [8.5, 3.5, 8.5, 3.5]).all()
        assert len(np.unique(mine, axis=0)) == made.sizes[n]


def test_prompts_of_raters_alone_leave_the_fused_box_out_but_fit_it():
    made = make(6, raters=RATERS, prompt_boxes="raters")

    assert made.sizes == (2, 2, 2)
    assert made.boxes[::2].tolist() == RATERS
    assert made.box.tolist() == BOX


@pytest.mark.parametrize("raters", [[], RATERS[:1]], ids=["none", "one"])
@pytest.mark.parametrize("sources", ["raters", "both"])
def test_with_fewer_than_two_raters_the_fused_box_alone_is_asked(raters, sources):
    alone = make(6, raters=raters, prompt_boxes=sources, spread=[1.0] * 4)

    assert alone.boxes.tolist() == make(6, spread=[1.0] * 4).boxes.tolist()
    assert alone.sizes == (6,)


def test_raters_are_not_asked_when_the_fused_box_is_to_be():
    assert make(6, raters=RATERS, prompt_boxes="fused").boxes.tolist() == make(6).boxes.tolist()


def test_of_more_origins_than_prompts_some_are_drawn_by_lot():
    many = [[100.0 + k, 200, 180, 230] for k in range(30)]

    made = make(4, raters=many, prompt_boxes="both")
    other = make(4, raters=many, prompt_boxes="both", seed=1)

    assert made.sizes == (1, 1, 1, 1)
    assert made.boxes[0].tolist() == BOX
    assert len({tuple(box) for box in made.boxes}) == 4
    assert made.boxes.tolist() != other.boxes.tolist()


def test_displacements_are_stratified_over_all_origins_together():
    # 12 prompts of four sources: 8 displacements, one in each eighth of the range.
    same = [BOX, BOX, BOX]

    made = make(12, raters=same, prompt_boxes="both", jitter="training")

    strays = (made.boxes != BOX).any(axis=1)
    part = np.floor(((made.boxes[strays] - BOX) / [8, 3, 8, 3] + 1) / 2 * 8)
    np.testing.assert_array_equal(np.sort(part, axis=0), np.tile(np.arange(8)[:, None], (1, 4)))


def test_only_the_fused_box_strays_by_the_spread():
    made = make(600, raters=RATERS[:2], prompt_boxes="both", spread=[0.0] * 4)

    fused, rater, _ = np.split(made.boxes, 3)
    assert (fused == BOX).all()
    assert np.abs(rater - RATERS[0]).max(axis=0) == pytest.approx([8, 3, 7.9, 3], rel=0.05)


def test_training_noise_may_be_asked_for_where_there_is_a_spread():
    known = make(9, spread=[1.0] * 4, jitter="training")

    assert known.boxes.tolist() == make(9).boxes.tolist()


def test_medsam_was_trained_with_boxes_that_are_too_large():
    # Up to 20 px of 1024, and MedSAM stretches: 400 columns, 512 rows.
    moved = (draw(401, noise="medsam") - BOX) * [-1, -1, 1, 1]

    assert (moved >= 0).all()
    limit = 20 * np.array([400, 512, 400, 512]) / 1024
    assert (moved <= limit).all()
    assert moved.max(axis=0) == pytest.approx(limit, rel=0.01)
    assert draw(401, jitter="medsam").tolist() == draw(401, noise="medsam").tolist()


def test_sam_u_moves_every_box_25_px_outwards_and_by_whole_pixels():
    moved = draw(900, jitter="sam-u") - BOX

    assert moved[0].tolist() == [-25, -25, 25, 25]
    noise = moved[1:] - moved[0]
    # 1/32 of 400 columns and 512 rows: 12 and 16 px, all 25 and 33 values equally often.
    for column, most in zip(noise.T, [12, 16, 12, 16], strict=True):
        values, counts = np.unique(column, return_counts=True)
        assert values.tolist() == list(range(-most, most + 1))
        assert counts.max() - counts.min() <= 2


def test_noise_larger_than_the_box_does_not_turn_it_inside_out():
    # 1/32 of 4000 px is 125 px, far more than the margin and the box.
    boxes = draw(50, box=[2000, 2000, 2010, 2010], shape=(4000, 4000), jitter="sam-u")

    assert (boxes[:, 2:] - boxes[:, :2] >= 0.2 * 10 - 1e-9).all()
    assert boxes[:, 2].max() > 2100


def test_fnpc_moves_the_whole_box_in_a_disc():
    boxes = draw(900, jitter="fnpc")

    np.testing.assert_allclose(boxes[:, 2:] - boxes[:, :2], np.tile([80, 30], (900, 1)))
    offset = (boxes - BOX)[1:, :2]
    distance = np.hypot(*offset.T)
    assert distance.max() <= 30 / 8
    # Uniform in the disc: the share within a radius grows with its square.
    assert np.mean(distance < 30 / 16) == pytest.approx(1 / 4, abs=0.01)
    np.testing.assert_allclose(offset.mean(axis=0), 0, atol=0.15)


@pytest.mark.parametrize("jitter", ["training", "sam", "medsam", "sam-u", "fnpc"])
@given(st.integers(1, 500), st.integers(1, 500), st.integers(1, 40))
@settings(max_examples=15)
def test_every_law_gives_boxes_even_of_one_pixel(jitter, x, y, n):
    boxes = draw(n, box=[x, y, x + 1, y + 1], shape=(600, 900), jitter=jitter)

    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert boxes.shape == (n, 4)


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
