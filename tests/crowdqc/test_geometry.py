import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdqc.geometry import paired_iou, pairwise_iou, pixels_to_yolo, yolo_to_pixels

SIZE = 12


@st.composite
def boxes(draw):
    x0, y0 = draw(st.integers(0, SIZE - 1)), draw(st.integers(0, SIZE - 1))
    return [x0, y0, draw(st.integers(x0 + 1, SIZE)), draw(st.integers(y0 + 1, SIZE))]


def paint(box):
    picture = np.zeros((SIZE, SIZE), bool)
    x0, y0, x1, y1 = box
    picture[y0:y1, x0:x1] = True
    return picture


@given(boxes(), boxes())
def test_iou_is_the_share_of_painted_pixels(a, b):
    expected = (paint(a) & paint(b)).sum() / (paint(a) | paint(b)).sum()

    assert pairwise_iou([a], [b])[0, 0] == pytest.approx(expected)
    assert paired_iou([a], [b])[0] == pytest.approx(expected)


@given(boxes(), boxes(), st.floats(-50, 50), st.floats(0.1, 10))
def test_iou_ignores_shift_and_scale(a, b, shift, scale):
    moved = [np.array(box) * scale + shift for box in (a, b)]

    np.testing.assert_allclose(
        pairwise_iou([moved[0]], [moved[1]]), pairwise_iou([a], [b]), atol=1e-9
    )


@given(st.lists(boxes(), max_size=4), st.lists(boxes(), max_size=4))
def test_iou_of_every_pair(a, b):
    iou = pairwise_iou(np.reshape(a, (-1, 4)), np.reshape(b, (-1, 4)))

    assert iou.shape == (len(a), len(b))
    for i, j in np.ndindex(iou.shape):
        assert iou[i, j] == paired_iou([a[i]], [b[j]])[0]


@pytest.mark.parametrize(
    ("boxes", "says"),
    [
        ([0, 0, 1, 1], r"'a' must have shape \(N, 4\); got \(4,\)"),
        ([[0, 0, 1, 1], [3, 0, 2, 1]], r"1 of 2 .* row 1: \[3.0, 0.0, 2.0, 1.0\]"),
        ([[2, 0, 2, 1]], "1 of 1 .* empty"),
        ([[0, 0, np.nan, 1]], "1 of 1 .* not finite"),
    ],
    ids=["one flat box", "reversed", "no width", "nan"],
)
def test_bad_boxes_are_named(boxes, says):
    with pytest.raises(ValueError, match=says):
        pairwise_iou(boxes, [[0, 0, 1, 1]])


def test_pairs_need_one_length():
    with pytest.raises(ValueError, match="got 1 and 2"):
        paired_iou([[0, 0, 1, 1]], [[0, 0, 1, 1]] * 2)


@given(boxes(), st.integers(SIZE, 600), st.integers(SIZE, 600))
def test_yolo_and_pixels_are_inverse(box, height, width):
    yolo = pixels_to_yolo([box], height=height, width=width)

    np.testing.assert_allclose(yolo_to_pixels(yolo, height=height, width=width), [box], atol=1e-9)
