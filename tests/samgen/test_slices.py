import numpy as np
import pytest

from samgen.predictor import BoxPredictor, Prediction, Prompts
from samgen.slices import draw_objects, has_contrast, mask_dice, resolve

SHAPE = (20, 30)


class Painter(BoxPredictor):
    """A fake model: paints each box, with a probability, and a rim round it."""

    name = "painter"
    signature = "painter 1"
    last_wins = False

    def __init__(self, inside=1.0, rim=0.0):
        self.inside, self.rim = inside, rim

    def encode(self, picture):
        return picture.shape

    def predict(self, encoded, boxes):
        probability = np.zeros((len(boxes), *encoded), np.float32)
        for mask, (x0, y0, x1, y1) in zip(probability, np.rint(boxes).astype(int), strict=True):
            mask[max(y0 - 2, 0) : y1 + 2, max(x0 - 2, 0) : x1 + 2] = self.rim
            mask[y0:y1, x0:x1] = self.inside
        return Prediction(probability, np.full(len(boxes), 0.75))


def test_the_fake_model_is_a_predictor():
    assert isinstance(Painter(), BoxPredictor)


def draw(boxes, model=None):
    return draw_all([boxes], model)[0]


def draw_all(objects, model=None, sizes=None):
    model = model or Painter()
    prompts = [
        Prompts(np.array(boxes[0], float), np.array(boxes, float), sizes or (len(boxes),))
        for boxes in objects
    ]
    return list(draw_objects(model, model.encode(np.zeros(SHAPE, np.uint8)), prompts))


def test_equal_prompts_leave_no_doubt():
    drawn = draw([[5, 4, 15, 9]] * 3)

    assert drawn.region == (slice(4, 9), slice(5, 15))
    assert (drawn.mean == 1).all()
    assert drawn.measures == pytest.approx(
        {
            "predicted_iou": 0.75,
            "stability": 1,
            "entropy": 0,
            "mutual_information": 0,
            "pairwise_dice": 1,
            "expected_dice": 1,
            "box_iou": 1,
            "mutual_information_between_raters": np.nan,
            "mutual_information_within_raters": np.nan,
        },
        nan_ok=True,
    )


def test_prompts_that_differ_disagree_where_they_do():
    # Two boxes of 10 x 5 that share 10 x 4: on 2 of the 6 rows nobody knows.
    drawn = draw([[5, 4, 15, 9], [5, 5, 15, 10]])

    assert drawn.mean[:, 0].tolist() == [0.5, 1, 1, 1, 1, 0.5]
    assert drawn.measures["pairwise_dice"] == pytest.approx(0.8)
    assert drawn.measures["entropy"] == pytest.approx(np.log(2) * 2 / 6)
    assert drawn.measures["mutual_information"] == pytest.approx(np.log(2) * 2 / 6)
    assert drawn.measures["expected_dice"] == pytest.approx(2 * 40 / (40 + 50))
    assert drawn.measures["box_iou"] == pytest.approx(40 / 50)


def test_doubt_has_a_part_between_sources_and_a_part_within_them():
    # One source says 1 and 0 on two rows, the other 1 and 1, and a third part is sure.
    boxes = [[5, 4, 15, 9], [5, 5, 15, 9], [5, 5, 15, 9], [5, 5, 15, 9]]

    measures = draw_all([boxes], sizes=(2, 2))[0].measures

    def coin(p):
        return -(p * np.log(p) + (1 - p) * np.log(1 - p))

    # The first row of five: 1 of 2 in the first source, 0 of 2 in the second.
    between, within = coin(1 / 4) - (coin(1 / 2) + 0) / 2, coin(1 / 2) / 2
    assert measures["mutual_information_between_raters"] == pytest.approx(between / 5)
    assert measures["mutual_information_within_raters"] == pytest.approx(within / 5)
    assert measures["mutual_information"] == pytest.approx(coin(1 / 4) / 5)


def test_objects_come_in_order_and_do_not_touch_each_other():
    objects = [[[5, 4, 15, 9]], [[1, 1, 9, 9], [2, 1, 9, 9]], [[5, 4, 15, 9], [4, 4, 15, 9]]]

    together = draw_all(objects)

    for drawn, boxes in zip(together, objects, strict=True):
        alone = draw(boxes)
        assert drawn.region == alone.region
        np.testing.assert_array_equal(drawn.mean, alone.mean)
        assert drawn.measures == pytest.approx(alone.measures, nan_ok=True)


def test_dice_of_two_drawings_is_that_of_their_masks():
    # 10 x 5 and 8 x 8 that share 8 columns and 4 rows.
    a, b = draw([[5, 4, 15, 9]]), draw([[7, 5, 15, 13]])

    assert mask_dice(a, b) == 2 * 8 * 4 / (50 + 64)
    assert mask_dice(a, draw([[16, 10, 20, 15]])) == 0
    empty = draw([[5, 4, 15, 9]], Painter(inside=0.2))
    assert np.isnan(mask_dice(empty, empty))


def test_a_mask_may_leave_its_box_and_the_numbers_in_the_box_stay():
    drawn = draw([[5, 4, 15, 9]] * 2, Painter(inside=0.5, rim=0.3))

    assert drawn.region == (slice(2, 11), slice(3, 17))
    assert drawn.measures["entropy"] == pytest.approx(np.log(2))


def test_what_is_all_but_impossible_counts_inside_the_prompts_only():
    class Once(Painter):
        """Paints the rim of the first box only: 0.015 there is 0.005 on average."""

        def predict(self, encoded, boxes):
            drawn = super().predict(encoded, boxes)
            drawn.probability[1:][drawn.probability[1:] < 0.5] = 0
            return drawn

    outside = draw([[5, 4, 15, 9]] * 3, Once(inside=1.0, rim=0.015))
    inside = draw([[5, 4, 15, 9]], Painter(inside=0.01, rim=0.02))

    assert outside.measures["expected_dice"] == 1
    assert (outside.mean > 0).sum() == 50
    assert inside.mean.max() == np.float32(0.02)
    assert inside.measures["entropy"] == pytest.approx(
        -(0.01 * np.log(0.01) + 0.99 * np.log(0.99)), rel=1e-5
    )


def test_a_model_that_finds_nothing_leaves_what_is_undefined_open():
    drawn = draw([[5, 4, 15, 9]] * 2, Painter(inside=0.0))

    undefined = {name for name, value in drawn.measures.items() if np.isnan(value)}
    split = {"mutual_information_between_raters", "mutual_information_within_raters"}
    assert undefined == {"stability", "pairwise_dice", "expected_dice"} | split
    assert drawn.measures["box_iou"] == 0


def test_a_pixel_goes_to_the_most_probable_object():
    first = draw([[2, 2, 12, 10]], Painter(inside=0.8))
    second = draw([[8, 6, 20, 15]], Painter(inside=0.9))
    doubtful = draw([[0, 0, 30, 20]], Painter(inside=0.4))

    owner, entropy = resolve([first, second, doubtful], SHAPE)

    expected = np.full(SHAPE, -1)
    expected[2:10, 2:12] = 0
    expected[6:15, 8:20] = 1
    np.testing.assert_array_equal(owner, expected)
    at_two_fifths = -(0.4 * np.log(0.4) + 0.6 * np.log(0.6))
    np.testing.assert_allclose(entropy, at_two_fifths, rtol=1e-6)  # the least sure decides


def test_the_last_wins_where_a_model_asks_for_it():
    sure = draw([[2, 2, 12, 10]], Painter(inside=0.9))
    later = draw([[8, 6, 20, 15]], Painter(inside=0.6))

    owner, _ = resolve([sure, later], SHAPE, last_wins=True)

    assert owner[7, 9] == 1
    assert owner[4, 4] == 0


def test_of_equals_the_first_wins():
    owner, _ = resolve([draw([[0, 0, 9, 9]]), draw([[5, 5, 12, 12]])], SHAPE)

    assert owner[7, 7] == 0
    assert owner[10, 10] == 1


def test_a_picture_without_objects_belongs_to_nobody():
    owner, entropy = resolve([], SHAPE)

    assert (owner == -1).all()
    assert (entropy == 0).all()


@pytest.mark.parametrize(
    ("paint", "seen"),
    [
        ([], False),
        ([((slice(12, 14), slice(12, 14)), 9)], True),
        ([((slice(10, 20), slice(10, 20)), 9)], True),  # it fills its box
        ([((slice(10, 20), slice(0, 20)), 9)], True),
        ([((slice(0, 30), slice(0, 22)), 9)], False),  # one side of the ring alone differs
        ([((slice(0, 5), slice(0, 5)), 9)], False),
    ],
)
def test_contrast_is_within_a_box_or_all_round_it(paint, seen):
    picture = np.full((30, 30), 100, np.uint8)
    for where, value in paint:
        picture[where] = value

    assert has_contrast(picture, np.array([10.0, 10, 20, 20])) == seen
