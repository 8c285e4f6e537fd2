import numpy as np
import pytest

from samgen.predictor import BoxPredictor, Prediction
from samgen.square import SquarePixels, square_pixels


class Painter(BoxPredictor):
    """Paints each box, and remembers what it was shown."""

    name = "painter"
    signature = "painter 1"
    last_wins = False
    noise = "medsam"

    def __init__(self):
        self.pictures, self.boxes = [], []

    def encode(self, picture):
        self.pictures.append(picture)
        return picture.shape

    def predict(self, encoded, boxes):
        self.boxes.append(boxes)
        probability = np.zeros((len(boxes), *encoded), np.float32)
        for mask, (x0, y0, x1, y1) in zip(probability, np.rint(boxes).astype(int), strict=True):
            mask[y0:y1, x0:x1] = 0.8
        return Prediction(probability, np.full(len(boxes), 0.7))


def test_square_pixels_are_left_as_they_are():
    model = Painter()

    assert square_pixels(model, width_mm=1.0, height_mm=1.05) is model
    assert square_pixels(model, width_mm=1.0, height_mm=1.2) is not model


@pytest.mark.parametrize(("size", "shown"), [((3.0, 1.0), (8, 30)), ((1.0, 2.0), (16, 10))])
def test_the_model_sees_squares_and_answers_in_pixels(size, shown):
    model = Painter()
    square = SquarePixels(model, width_mm=size[0], height_mm=size[1])
    picture = np.arange(80, dtype=np.uint8).reshape(8, 10)
    box = np.array([[2.0, 1.0, 5.0, 4.0], [9.0, 7.0, 10.0, 8.0]])

    found = square.predict(square.encode(picture), box)

    assert model.pictures[0].shape == shown
    assert model.pictures[0].dtype == np.uint8
    scale = np.array([shown[1] / 10, shown[0] / 8] * 2)
    np.testing.assert_allclose(model.boxes[0], box * scale)
    expected = np.zeros((2, 8, 10))
    expected[0, 1:4, 2:5] = expected[1, 7, 9] = 0.8
    np.testing.assert_allclose(found.probability, expected, atol=1e-6)
    assert found.probability.dtype == np.float32
    assert found.predicted_iou.tolist() == [0.7, 0.7]


def test_stretching_keeps_grey_values_where_they_are():
    model = Painter()
    square = SquarePixels(model, width_mm=4.0, height_mm=1.0)
    picture = np.tile(np.arange(0, 200, 20, dtype=np.uint8), (3, 1))

    square.encode(picture)

    # The middle of a pixel is still its own value; the means of pixels are kept.
    means = model.pictures[0].reshape(3, 10, 4).mean(axis=2)
    np.testing.assert_allclose(means[:, 1:-1], picture[:, 1:-1], atol=0.6)


def test_masks_depend_on_the_stretch_and_on_the_model():
    names = {SquarePixels(Painter(), width_mm=w, height_mm=1.0).signature for w in (1.5, 2.0)}

    assert len(names) == 2
    assert all("painter 1" in name for name in names)
    square = SquarePixels(Painter(), width_mm=2.0, height_mm=1.0)
    assert (square.name, square.last_wins, square.noise) == ("painter", False, "medsam")
