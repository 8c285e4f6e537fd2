"""Dice against SimpleITK and scikit-image's Jaccard, and what an empty label means."""

import re

import hypothesis.extra.numpy as hnp
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdqc.engine.cluster import RayEngine
from tests.niftis import AFFINE, save
from train.evaluate import ScoredCase, count_overlap, renumber, score_masks

LABELS = {"spleen": 1, "liver": 300}
volumes = hnp.arrays(np.int64, (4, 5, 3), elements=st.integers(0, 3))


@pytest.fixture
def case(tmp_path):
    """Spleen: 4 of 8 voxels found on slice 0, invented on slice 1. Liver missed on slice 2."""
    truth, mask = np.zeros((2, 6, 6, 4), dtype=np.uint16)
    truth[0:2, 0:4, 0] = 1
    mask[0:2, 0:2, 0] = 1
    mask[5, 5, 1] = 1
    truth[3:6, 3:6, 2] = 300
    return ScoredCase(
        case="7", mask=save(tmp_path / "m.nii.gz", mask), truth=save(tmp_path / "t.nii.gz", truth)
    )


@settings(max_examples=40)
@given(volumes, volumes)
def test_volume_and_slice_dice_are_simpleitk_s(mask, truth):
    overlap = count_overlap(mask, truth, 3)

    for label in (1, 2, 3):
        for part, got in [
            (np.s_[:], overlap.volume_dice()[label - 1]),
            *((np.s_[..., k : k + 1], overlap.dice()[k, label - 1]) for k in range(3)),
        ]:
            a, b = (np.ascontiguousarray(x[part] == label).astype(np.uint8) for x in (mask, truth))
            if not a.any() and not b.any():
                assert np.isnan(got)
                continue
            measure = SimpleITK.LabelOverlapMeasuresImageFilter()
            measure.Execute(SimpleITK.GetImageFromArray(a), SimpleITK.GetImageFromArray(b))
            assert got == pytest.approx(measure.GetDiceCoefficient())


def test_a_cluster_scores_the_same(case, nodes):
    here = score_masks([case], set_name="filtered", labels=LABELS)
    there = score_masks(
        [case], set_name="filtered", labels=LABELS, engine=RayEngine(address=nodes.address)
    )

    pd.testing.assert_frame_equal(here[0], there[0])
    assert there[1] == []


def test_rows_are_volumes_and_the_slices_where_there_is_something(case):
    scores, findings = score_masks([case], set_name="filtered", labels=LABELS)

    assert findings == []
    assert scores["set"].unique().tolist() == ["filtered"]
    got = {(r.slice, r.label): r.dice for r in scores.fillna({"slice": -1}).itertuples()}
    assert got == pytest.approx(
        {
            (-1, "spleen"): 2 * 4 / (5 + 8),
            (-1, "liver"): 0.0,
            (0, "spleen"): 2 * 4 / (4 + 8),
            (1, "spleen"): 0.0,
            (2, "liver"): 0.0,
        }
    )


def test_an_organ_that_neither_has_is_nan(tmp_path):
    empty = save(tmp_path / "e.nii.gz", np.zeros((3, 3, 2)))

    scores, _ = score_masks(
        [ScoredCase(case="1", mask=empty, truth=empty)], set_name="s", labels=LABELS
    )

    assert len(scores) == 2
    assert scores[["dice", "surface_dice", "hd95_mm"]].isna().all(axis=None)


def test_an_organ_that_was_missed_is_at_no_finite_distance(case):
    scores, _ = score_masks([case], set_name="s", labels=LABELS)

    liver = scores[scores["slice"].isna()].set_index("label").loc["liver"]
    assert (liver["dice"], liver["surface_dice"], liver["hd95_mm"]) == (0, 0, np.inf)
    assert scores.loc[scores["slice"].notna(), ["surface_dice", "hd95_mm"]].isna().all(axis=None)


def test_surfaces_are_measured_in_mm_with_the_tolerance_of_the_label(tmp_path):
    truth, mask = np.zeros((2, 8, 8, 8))
    truth[1:7, 1:7, 1:3], mask[1:7, 1:7, 1:4] = 1, 1  # one slice of 3 mm too many
    truth[1:7, 1:7, 5:7], mask[1:7, 1:7, 5:8] = 300, 300
    cases = [
        ScoredCase(
            case="1",
            mask=save(tmp_path / "m.nii.gz", mask),
            truth=save(tmp_path / "t.nii.gz", truth),
        )
    ]

    scores, _ = score_masks(cases, set_name="s", labels=LABELS, tolerances_mm={"liver": 3.0})

    volumes = scores[scores["slice"].isna()].set_index("label")
    assert volumes["hd95_mm"].tolist() == [3.0, 3.0]
    assert volumes.loc["liver", "surface_dice"] == 1
    assert 0.3 < volumes.loc["spleen", "surface_dice"] < 0.9  # the usual 2 mm


def test_truth_may_have_values_of_its_own(case, tmp_path):
    other = np.asarray(nib.load(case.truth).dataobj).copy()
    other[other == 1] = 52
    renamed = ScoredCase(case="7", mask=case.mask, truth=save(tmp_path / "o.nii.gz", other))

    scores, _ = score_masks([renamed], set_name="s", labels=LABELS, truth_values={"spleen": 52})

    expected, _ = score_masks([case], set_name="s", labels=LABELS)
    assert scores.equals(expected)


def test_labels_that_nobody_asked_for_count_as_background():
    assert renumber(np.array([9, 300, 1]), LABELS.values()).tolist() == [0, 2, 1]


def test_a_missing_mask_scores_zero_and_is_told(case, tmp_path):
    gone = ScoredCase(case="7", mask=tmp_path / "none.nii.gz", truth=case.truth)

    scores, findings = score_masks([gone], set_name="s", labels=LABELS)

    assert (scores["dice"] == 0).all()
    assert [(f.check, f.case) for f in findings] == [("mask-missing", "7")]


def test_another_grid_is_not_scored(case, tmp_path):
    moved = AFFINE.copy()
    moved[0, 3] = 0.01
    mask = save(tmp_path / "moved.nii.gz", np.asarray(nib.load(case.mask).dataobj), affine=moved)
    small = save(tmp_path / "small.nii.gz", np.zeros((6, 6, 3)))

    for path, says in ((mask, "affine matrices differ by 0.01"), (small, r"\(6, 6, 3\)")):
        scores, findings = score_masks(
            [ScoredCase(case="7", mask=path, truth=case.truth)], set_name="s", labels=LABELS
        )
        assert scores.empty
        assert findings[0].check == "mask-geometry"
        assert re.search(says, findings[0].message)


def test_labels_with_a_slope_are_rounded_and_fractions_refused(case, tmp_path):
    # The published masks of the crowd study are stored as multiples of 1/51.
    mask = np.asarray(nib.load(case.mask).dataobj)
    image = nib.Nifti1Image((mask * 51).astype(np.uint8), AFFINE)
    image.header.set_slope_inter(np.float32(1 / 51), 0)
    nib.save(image, tmp_path / "sloped.nii.gz")
    sloped = ScoredCase(case="7", mask=tmp_path / "sloped.nii.gz", truth=case.truth)

    scores, findings = score_masks([sloped], set_name="s", labels=LABELS)

    assert findings == []
    assert scores.loc[0, "dice"] == pytest.approx(8 / 13)
    half = save(tmp_path / "half.nii.gz", np.full((6, 6, 4), 0.5), dtype=np.float32)
    fractions = ScoredCase(case="7", mask=case.mask, truth=half)
    scores, findings = score_masks([fractions], set_name="s", labels=LABELS)
    assert scores.empty
    assert [finding.check for finding in findings] == ["truth-unreadable"]
    assert "voxel [0, 0, 0] is 0.5; labels must be whole" in findings[0].message


def test_a_file_cut_short_is_named(case, tmp_path):
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes(case.mask.read_bytes()[:-20])

    scores, findings = score_masks(
        [ScoredCase(case="7", mask=cut, truth=case.truth)], set_name="s", labels=LABELS
    )

    assert scores.empty
    assert findings[0].check == "mask-unreadable"
    assert "cut.nii.gz" in findings[0].message
