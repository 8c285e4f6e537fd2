"""The learned part of the embedded model of volumes: its numbers, features and border."""

import json
from dataclasses import replace
from importlib import resources

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from samgen.pixel_features import features_of
from samgen.pixel_model import (
    ARRAYS,
    FILE,
    KNOWN_PX,
    NOTHING_LEARNED,
    NUMBERS,
    PixelModel,
    as_far_apart,
    best_offset,
    doubt,
    embedded,
)
from samgen.predictors.intensity3d import VERSION, Intensity3DPredictor
from samgen.volume_predictor import Volume
from tests.samgen.test_intensity3d import asked, dice_of, faulty, organ, tight

STORED = json.loads((resources.files("samgen") / FILE).read_text("utf-8"))


def draft_of(volume, boxes):
    return Intensity3DPredictor(pixels=NOTHING_LEARNED).draft(volume, asked(boxes))


def features(volume, boxes):
    """Name -> values on all pixels of the boxes' slices; nan where nobody looks."""
    draft = draft_of(volume, boxes)
    shown = {}
    for name, values in features_of(draft.frame, draft.sketch, draft.drawings).items():
        part = np.full(draft.frame.seen.shape, np.nan)
        part[draft.frame.seen] = values
        shown[name] = np.full(volume.pictures[draft.slices].shape, np.nan)
        shown[name][:, *draft.look.region] = part
    return shown


def test_its_file_says_what_it_learned_from_and_fits_the_features():
    volume, mask = organ()
    draft = draft_of(volume, tight(mask))
    named = features_of(draft.frame, draft.sketch, draft.drawings)

    assert list(named) == STORED["features"] == list(embedded().features)
    assert STORED["version"] == VERSION
    assert all({"source", "licence", "part"} <= set(one) for one in STORED["trained_on"].values())
    assert all(np.isfinite(one).all() and one.dtype == np.float32 for one in named.values())
    assert len({len(one) for one in named.values()}) == 1


def test_odds_are_those_of_one_hidden_layer():
    model, rng = embedded(), np.random.default_rng(0)
    named = {name: rng.normal(size=7).astype(np.float32) for name in model.features}
    expected = []
    for k in range(7):
        seen = [
            min(max((named[name][k] - mean) / scale, -model.limit), model.limit)
            for name, mean, scale in zip(model.features, model.mean, model.scale, strict=True)
        ]
        units = [
            max(0.0, np.dot(seen, w) + b) for w, b in zip(model.hidden.T, model.bias, strict=True)
        ]
        expected.append(np.dot(units, model.out) + model.base)

    assert_allclose(model.odds(named), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": [0.0]}, "do not fit"),
        ({"features": ["centrality"]}, "do not fit"),
        ({"base": float("nan")}, "must be finite"),
        ({"scale": [0.0] * len(STORED["features"])}, "scales above 0"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        PixelModel.of({**STORED, **change})


def test_its_numbers_are_part_of_the_signature():
    model = embedded()
    assert set(ARRAYS + NUMBERS) <= set(STORED)
    signatures = {
        Intensity3DPredictor(pixels=one).signature
        for one in (model, NOTHING_LEARNED, replace(model, digest="f" * 64))
    }
    assert len(signatures) == 3
    assert Intensity3DPredictor().signature in signatures


@pytest.mark.parametrize(
    "turn",
    [lambda a: a[:, :, ::-1], lambda a: a[:, ::-1], lambda a: a.transpose(0, 2, 1)],
    ids=["left to right", "upside down", "rows to columns"],
)
def test_features_turn_with_the_volume(turn):
    volume, mask = organ()
    pictures = np.ascontiguousarray(turn(volume.pictures))
    other = Volume(pictures, volume.spacing_mm, lambda: pictures.astype(np.float32))

    plain, found = features(volume, tight(mask)), features(other, tight(turn(mask)))

    for name in plain.keys() - {"all drawings"}:  # courses are drawn at random
        assert_allclose(turn(plain[name]), found[name], atol=0.02, err_msg=name)


def test_features_do_not_depend_on_the_unit_of_grey_values_but_for_rounding():
    volume, mask = organ()
    boxes = tight(mask)
    pictures = 255 - volume.pictures
    plain = features(volume, boxes)
    found = features(
        Volume(pictures, volume.spacing_mm, lambda: pictures.astype(np.float32)), boxes
    )

    for name in plain.keys() - {"grey", "all drawings"}:  # changes its sign
        apart = np.abs(plain[name] - found[name])
        assert np.nanmedian(apart) < 0.1 * np.nanstd(plain[name]) + 0.02, name
    assert np.nanmedian(np.abs(plain["grey"] + found["grey"])) < 0.2


def test_the_border_is_where_masks_fill_the_boxes():
    """A cone of log odds: its boxes tell above which of them the organ lies."""
    rows, columns = np.indices((41, 41)) - 20
    odds = np.tile((10 - np.hypot(rows, columns)) / 4, (5, 1, 1)).astype(np.float32)
    for radius in (6, 10, 14):
        boxes = np.tile([20.0 - radius, 20 - radius, 21 + radius, 21 + radius], (5, 1))
        assert best_offset(odds, boxes, 0.0) == pytest.approx((10 - radius) / 4, abs=0.26)
        assert abs(best_offset(odds, boxes, 1e3)) < 0.01
    boxes[2] += 15  # one that strays
    assert best_offset(odds, boxes, 0.0) == pytest.approx(-1, abs=0.26)


def test_large_boxes_are_believed_more_where_their_edges_were_followed():
    volume, mask = organ(radius=(10, 20, 15))
    boxes = tight(mask)
    side = np.median([np.sqrt(np.prod(box[2:] - box[:2])) for box in boxes.values()])

    followed = draft_of(volume, boxes).frame
    single = draft_of(volume, dict(list(boxes.items())[8:11])).frame

    assert doubt(followed) == pytest.approx(KNOWN_PX / side, rel=0.05)
    assert doubt(single) == 1


def test_masks_are_as_far_apart_as_drawings_round_the_mask():
    rng = np.random.default_rng(0)
    drawings = rng.uniform(size=(3, 2, 9, 9)).astype(np.float32)
    drawings[:, :, 0] = 0.3
    mask = ndimage.gaussian_filter(drawings[0], 1)

    found = as_far_apart(mask, drawings)

    assert_allclose(found.mean(axis=0), mask, atol=0.06)
    clear = np.abs(mask - 0.5) > 0.02
    assert_array_equal((found.mean(axis=0) > 0.5)[clear], (mask > 0.5)[clear])
    assert np.corrcoef(np.ptp(found, axis=0).ravel(), np.ptp(drawings, axis=0).ravel())[0, 1] > 0.7
    assert_allclose(found[:, :, 0], np.broadcast_to(mask[:, 0], found[:, :, 0].shape), atol=1e-6)


def test_what_is_learned_serves_where_boxes_are_faulty():
    volume, mask = organ(radius=(10, 20, 15), seed=3)
    shown = asked(faulty(mask, seed=3))
    plain = Intensity3DPredictor(pixels=NOTHING_LEARNED).predict(volume, shown)
    found = Intensity3DPredictor().predict(volume, shown)

    assert found.probability.shape == plain.probability.shape
    assert dice_of(found, mask) > max(0.95, dice_of(plain, mask) - 0.02)
