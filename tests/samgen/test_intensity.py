import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from crowdqc.config import Window
from crowdqc.volumes import read_labels, read_volume, to_grey, to_pictures
from samgen.histograms import robust_moments
from samgen.predictor import BoxPredictor
from samgen.predictors.intensity import IntensityPredictor
from samgen.settings import IntensitySettings
from samgen.tissues import guided_filter, noise_level

ORGANS = {"spleen": 1, "right kidney": 2, "left kidney": 3, "liver": 5, "aorta": 52}
SHAPE = (90, 110)
ROWS, COLUMNS = np.indices(SHAPE)


def ellipse(y, x, radius_y, radius_x):
    return ((ROWS - y) / radius_y) ** 2 + ((COLUMNS - x) / radius_x) ** 2 < 1


def tight_box(mask):
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], float)


def paint(*objects, background=100, noise=8.0, seed=0):
    """A picture of objects (mask, grey) on a background, with noise."""
    picture = np.full(SHAPE, float(background))
    for mask, grey in objects:
        picture[mask] = grey
    picture += np.random.default_rng(seed).normal(0, noise, SHAPE)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def predict(picture, *boxes, **changes):
    model = IntensityPredictor(dataclasses.replace(IntensitySettings(), **changes))
    return model.predict(model.encode(picture), np.array(boxes)).probability


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_it_is_a_predictor_without_an_opinion_of_itself():
    model = IntensityPredictor()
    boxes = np.array([[5.0, 5, 20, 20], [30, 30, 50, 40]])

    prediction = model.predict(model.encode(np.zeros(SHAPE, np.uint8)), boxes)

    assert isinstance(model, BoxPredictor)
    assert prediction.probability.shape == (2, *SHAPE)
    assert prediction.probability.dtype == np.float32
    assert np.isnan(prediction.predicted_iou).all()


@pytest.mark.parametrize("grey", [60, 130, 160], ids=["darker", "brighter", "much brighter"])
def test_an_organ_in_noise_is_found(grey):
    organ = ellipse(45, 55, 20, 30)

    mask = predict(paint((organ, grey)), tight_box(organ))[0] > 0.5

    assert dice(mask, organ) > 0.97


def test_an_organ_that_differs_by_less_than_the_noise_of_a_pixel_is_found():
    organ = ellipse(45, 55, 25, 35) & ~ellipse(70, 80, 22, 22)

    mask = predict(paint((organ, 112), noise=10), tight_box(organ))[0] > 0.5

    assert dice(mask, organ) > 0.9


def test_of_an_organ_in_two_pieces_both_are_found_but_not_a_third_thing_like_it():
    right, left = ellipse(45, 30, 25, 15), ellipse(30, 85, 10, 12)
    other = ellipse(60, 70, 5, 5)

    mask = predict(paint((right | left | other, 150)), tight_box(right | left))[0] > 0.5

    assert dice(mask, right | left) > 0.95
    assert (mask & other).sum() == 0


def test_holes_are_filled():
    organ = ellipse(45, 55, 25, 30)
    vessel = ellipse(45, 60, 4, 4)

    mask = predict(paint((organ, 150), (vessel, 230)), tight_box(organ))[0] > 0.5

    assert mask[vessel].all()
    assert (ndimage.binary_fill_holes(mask) == mask).all()


def test_an_organ_of_two_tissues_is_found_whole():
    # A kidney with bright cortex: what is in the box and never outside it is the organ's.
    kidney = ellipse(45, 55, 20, 26)
    medulla = ellipse(45, 62, 9, 12)

    mask = predict(paint((kidney, 200), (medulla, 140)), tight_box(kidney))[0] > 0.5

    assert dice(mask, kidney) > 0.96


def test_an_organ_of_two_tissues_side_by_side_is_found_whole():
    organ = ellipse(45, 55, 25, 35)
    other_half = organ & (COLUMNS > 60)

    mask = predict(paint((organ, 150), (other_half, 220)), tight_box(organ))[0] > 0.5

    assert dice(mask, organ) > 0.96


def test_what_cannot_be_told_from_its_surroundings_gets_the_shape_of_an_organ():
    box = np.array([30.0, 20, 80, 60])
    expected = ellipse(39.5, 54.5, 20, 25)

    mask = predict(np.full(SHAPE, 90, np.uint8), box)[0] > 0.5

    assert dice(mask, expected) > 0.85


@pytest.mark.parametrize(
    "box",
    [
        [50, 40, 51, 41],
        [50.2, 40.3, 50.6, 40.9],
        [0, 0, 1, 90],
        [0, 0, 110, 90],
        [109, 89, 110, 90],
        [20.4, 30.6, 40.5, 33.3],
    ],
    ids=["one pixel", "less than a pixel", "a column", "the picture", "the corner", "fractions"],
)
def test_any_box_within_the_picture_gives_probabilities_within_it(box):
    probability = predict(paint((ellipse(45, 55, 20, 30), 150)), box)[0]

    x0, y0, x1, y1 = box
    outside = np.ones(SHAPE, bool)
    outside[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] = False
    assert np.isfinite(probability).all()
    assert probability.min() >= 0
    assert probability.max() <= 1
    assert (probability[outside] <= 0.5).all()


def test_a_box_of_one_pixel_gives_that_pixel():
    mask = predict(paint((ellipse(45, 55, 20, 30), 150)), [50, 40, 51, 41])[0] > 0.5

    assert np.argwhere(mask).tolist() == [[40, 50]]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_the_mask_has_no_holes_and_reaches_the_box_it_was_asked_for(seed):
    rng = np.random.default_rng(seed)
    organ = ellipse(45, 55, rng.uniform(6, 35), rng.uniform(6, 45))
    picture = paint((organ, rng.choice([50, 140, 180])), noise=5, seed=seed)

    mask = predict(picture, tight_box(organ))[0] > 0.5

    assert (ndimage.binary_fill_holes(mask) == mask).all()
    assert np.abs(tight_box(mask) - tight_box(organ)).max() <= 2


def test_masks_depend_on_their_own_box_only_and_are_the_same_each_time():
    organ = ellipse(45, 55, 20, 30)
    picture = paint((organ, 140))
    boxes = [tight_box(organ), [10.0, 10, 30, 40], tight_box(organ) + 1.5]

    together = predict(picture, *boxes)

    for box, mask in zip(boxes, together, strict=True):
        np.testing.assert_array_equal(predict(picture, box)[0], mask)


@pytest.mark.parametrize("turn", [np.flipud, np.fliplr, np.transpose])
def test_a_turned_picture_gives_a_turned_mask(turn):
    organ = ellipse(40, 50, 18, 30) & ~ellipse(30, 40, 6, 8)
    picture = paint((organ, 140))
    expected = turn(predict(picture, tight_box(organ))[0] > 0.5)

    mask = predict(np.ascontiguousarray(turn(picture)), tight_box(turn(organ)))[0] > 0.5

    assert dice(mask, expected) > 0.999


def test_jitter_raises_doubt_at_the_edge_where_grey_values_say_little():
    organ = ellipse(45, 55, 20, 30)
    offsets = np.array([[0, 0, 0, 0], [3, 2, -3, -2], [-3, -2, 3, 2], [3, 2, 3, 2]])
    clear, vague = (
        predict(paint((organ, grey)), *(tight_box(organ) + offsets)).mean(axis=0)
        for grey in (180, 100)
    )

    def doubt(mean):
        return (mean * (1 - mean)).sum()

    assert doubt(vague) > 2 * doubt(clear)


@pytest.mark.parametrize("sigma", [2.0, 10.0])
def test_noise_is_measured_in_spite_of_edges_and_black_background(sigma):
    picture = paint((ellipse(45, 55, 20, 30), 180), noise=sigma)
    picture[:20] = 0

    assert noise_level(picture.astype(np.float32)) == pytest.approx(sigma, rel=0.15)


def test_centre_and_spread_of_a_tissue_are_found_beside_another():
    levels = 2.0 * np.arange(128)
    tissue = np.exp(-0.5 * ((levels - 100) / 10) ** 2)
    counts = (tissue + 0.5 * (levels > 200)).astype(np.float32)

    centre, spread = robust_moments(counts, 104.0, 10.0)

    assert centre == pytest.approx(100.8, abs=0.1)  # a bell of width 20 at 104 pulls by a fifth
    assert spread == pytest.approx(10, rel=0.01)


def test_a_picture_that_is_all_black_has_no_noise():
    assert noise_level(np.zeros((5, 5), np.float32)) == 0


def test_the_filter_keeps_edges_and_smooths_noise():
    step = np.where(COLUMNS < 55, 60.0, 160.0).astype(np.float32)
    noisy = step + np.random.default_rng(0).normal(0, 5, SHAPE).astype(np.float32)

    smooth = guided_filter(noisy, radius=2, strength=10.0)

    assert (smooth - step)[:, :50].std() < 2.5
    assert np.abs((smooth - step)[:, 53:57]).mean() < 5


def test_pictures_must_be_grey_values():
    with pytest.raises(ValueError, match=r"uint8 of shape \(rows, columns\); got float64"):
        IntensityPredictor().encode(np.zeros((4, 4)))


def test_the_signature_changes_with_every_setting():
    plain = IntensityPredictor().signature

    for field in dataclasses.fields(IntensitySettings):
        other = {"core_spread": (4.0, 9.0)}.get(field.name, 1)
        changed = dataclasses.replace(IntensitySettings(), **{field.name: other})
        assert IntensityPredictor(changed).signature != plain


def test_five_organs_of_a_real_ct_from_tight_boxes(data):
    folder = data / "totalsegmentator_ct"
    grey = to_grey(read_volume(folder / "ct.nii.gz")[0], Window(level=40, width=400))
    pictures = to_pictures(grey, "rot90")
    truth = to_pictures(read_labels(folder / "seg.nii.gz")[0], "rot90")
    model = IntensityPredictor()
    scores = {organ: [] for organ in ORGANS}

    for k, picture in enumerate(pictures):
        encoded = model.encode(picture)
        for organ, value in ORGANS.items():
            mask = truth[k] == value
            if mask.any():
                found = model.predict(encoded, tight_box(mask)[None]).probability[0] > 0.5
                scores[organ].append(dice(found, mask))

    means = {organ: np.mean(values) for organ, values in scores.items()}
    assert np.mean(list(means.values())) >= 0.88, means
    assert min(means.values()) >= 0.8, means
