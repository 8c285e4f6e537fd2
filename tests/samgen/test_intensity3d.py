"""The embedded model of volumes: what it draws of noisy, faulty and missing boxes."""

import time

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from crowdqc.findings import InputError
from samgen.predictor import ModelRequest, Prompts
from samgen.predictors import open_predictor
from samgen.predictors.intensity import IntensityPredictor
from samgen.predictors.intensity3d import Intensity3DPredictor
from samgen.refine import refine
from samgen.settings import VolumeModelSettings, VolumeSettings
from samgen.slices import draw_objects
from samgen.volume_predictor import ObjectPrompts, Volume, VolumePredictor
from tests.samgen.painting import consensus, generate

SHAPE = (24, 70, 80)


def organ(shape=SHAPE, radius=(10, 20, 15), seed=0):
    """A volume with a bright ellipsoid among noise, and its mask."""
    z, y, x = (axis - n / 2 + 0.5 for axis, n in zip(np.indices(shape), shape, strict=True))
    mask = (z / radius[0]) ** 2 + (y / radius[1]) ** 2 + (x / radius[2]) ** 2 < 1
    grey = np.random.default_rng(seed).normal(90, 12, shape) + 45 * mask
    pictures = grey.clip(0, 255).astype(np.uint8)
    return Volume(pictures, (2.0, 1.0, 1.0), lambda: grey.astype(np.float32)), mask


def tight(mask):
    boxes = {}
    for k in np.flatnonzero(mask.any(axis=(1, 2))):
        rows, columns = np.flatnonzero(mask[k].any(1)), np.flatnonzero(mask[k].any(0))
        edges = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        boxes[int(k)] = np.array(edges, np.float64)
    return boxes


def asked(boxes, **more):
    prompts = tuple(Prompts(box, np.repeat(box[None], 4, axis=0), (4,)) for box in boxes.values())
    n = len(boxes)
    given = {"interpolated": np.zeros(n, bool), "empty": frozenset(), "tracked": True} | more
    return ObjectPrompts(
        label="organ",
        slices=tuple(boxes),
        prompts=prompts,
        spread=np.full((n, 4), np.nan),
        raters=(np.zeros((0, 4)),) * n,
        again=lambda *_: prompts[0],
        **given,
    )


def dice_of(found, mask):
    drawn = np.zeros(mask.shape, bool)
    drawn[np.array(found.slices)[:, None, None], *np.ix_(*map(np.r_.__getitem__, found.region))] = (
        found.probability.mean(axis=0) > 0.5
    )
    return 2 * (drawn & mask).sum() / (drawn.sum() + mask.sum())


def faulty(mask, seed=0):
    """Boxes with edges off by 8 % of the side, and one in ten somewhere else."""
    rng = np.random.default_rng(seed)
    boxes = {}
    for index, (k, box) in enumerate(tight(mask).items()):
        side = np.tile(box[2:] - box[:2], 2)
        moved = box + rng.normal(size=4) * 0.08 * side + 0.4 * side * (index % 10 == 5)
        boxes[k] = np.concatenate([moved[:2].clip(0), moved[2:].clip(max=[80, 70])])
    return boxes


def test_tight_boxes_give_the_organ():
    volume, mask = organ()
    assert dice_of(Intensity3DPredictor().predict(volume, asked(tight(mask))), mask) > 0.95


def test_faulty_boxes_cost_less_than_slice_by_slice():
    volume, mask = organ()
    boxes = faulty(mask)
    model = IntensityPredictor()
    one = asked(boxes)
    items = [
        next(draw_objects(model, model.encode(volume.pictures[k]), [prompts]))
        for k, prompts in zip(one.slices, one.prompts, strict=True)
    ]
    items = refine(one.slices, items, spacing_mm=2, settings=VolumeSettings(smooth_mm=2))
    shared = sum(
        ((item.mean > 0.5) & mask[k][item.region]).sum()
        for k, item in zip(one.slices, items, strict=True)
    )
    flat = 2 * shared / (sum((item.mean > 0.5).sum() for item in items) + mask.sum())

    dice = dice_of(Intensity3DPredictor().predict(volume, one), mask)

    assert dice > flat + 0.01
    assert dice > 0.95


@pytest.mark.parametrize("gone", [(5,), (10, 11, 12), (2, 7, 14)])
def test_slices_that_nobody_drew_are_filled(gone):
    volume, mask = organ()
    boxes = tight(mask)
    whole = Intensity3DPredictor().predict(volume, asked(boxes))
    first = min(boxes)
    some = {k: box for k, box in boxes.items() if k - first not in gone}

    found = Intensity3DPredictor().predict(volume, asked(some))

    assert found.slices == whole.slices
    assert dice_of(found, mask) > dice_of(whole, mask) - 0.01


def test_interpolated_boxes_are_no_evidence():
    volume, mask = organ()
    boxes = tight(mask)
    wrong = dict(boxes)
    k = 12
    wrong[k] = np.array([0.0, 0, 12, 12])
    made_up = np.array([n == k for n in boxes])

    found = Intensity3DPredictor().predict(volume, asked(wrong, interpolated=made_up))

    assert dice_of(found, mask) > 0.95


def test_known_empty_slices_stay_empty():
    volume, mask = organ()
    boxes = {k: box for k, box in tight(mask).items() if k != 12}

    found = Intensity3DPredictor().predict(volume, asked(boxes, empty=frozenset({12})))

    assert 12 not in found.slices


@pytest.mark.parametrize("n", [1, 2, 4])
def test_a_few_slices_are_drawn_from_the_prompts_as_they_are(n):
    volume, mask = organ()
    boxes = dict(list(tight(mask).items())[8 : 8 + n])
    if n == 4:
        del boxes[list(boxes)[1]]  # a gap

    found = Intensity3DPredictor().predict(volume, asked(boxes))

    assert len(found.slices) == n
    for k, plane in zip(found.slices, found.probability.mean(axis=0), strict=True):
        drawn = plane > 0.5
        part = mask[k][found.region]
        assert 2 * (drawn & part).sum() / (drawn.sum() + part.sum()) > 0.93


def test_large_organs_are_drawn_on_a_coarser_grid():
    volume, mask = organ()
    coarse = Intensity3DPredictor(volume=VolumeModelSettings(side_max=20)).predict(
        volume, asked(tight(mask))
    )

    assert dice_of(coarse, mask) > 0.94


def test_boxes_beyond_the_picture_and_thinner_than_a_pixel():
    volume, _ = organ()
    boxes = {k: np.array([0.0, 30, 0.4 + k, 31.0]) for k in range(6)}

    found = Intensity3DPredictor().predict(volume, asked(boxes))

    assert np.isfinite(found.probability).all()
    assert found.probability.min() >= 0
    assert found.probability.max() <= 1


def test_its_masks_are_the_same_each_time_and_in_any_order(tmp_path, images):
    rows = [[k, label, 2, 3, 12 + k % 2, 9] for k in range(5) for label in ("liver", "aorta")]

    first = generate(consensus(*rows), images, tmp_path / "1", predictor=Intensity3DPredictor())
    generate(consensus(*rows[::-1]), images, tmp_path / "2", predictor=Intensity3DPredictor())

    names = ("a.nii.gz", "a.uncertainty.nii.gz", "a.json")
    for name in names:
        assert_array_equal(
            *(np.frombuffer((tmp_path / n / name).read_bytes(), np.uint8) for n in "12")
        )
    assert first["pairwise_dice"].notna().all()


def test_it_is_quick():
    """A kidney of 40 slices takes under a second on a quiet machine; here processor time counts."""
    volume, mask = organ((44, 120, 120), (20, 45, 45))
    begun = time.process_time()
    found = Intensity3DPredictor().predict(volume, asked(tight(mask)))
    assert time.process_time() - begun < 3
    assert len(found.slices) == 40


def test_it_is_a_model_of_volumes_without_weights():
    model = open_predictor(ModelRequest(model="intensity3d"))
    assert isinstance(model, VolumePredictor)
    assert model.in_3d
    with pytest.raises(InputError, match="'intensity3d', which has no weights"):
        open_predictor(ModelRequest(model="intensity3d:file"))
