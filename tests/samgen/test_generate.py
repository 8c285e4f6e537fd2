"""Masks from boxes: where they land, what the table says, and what is refused."""

import dataclasses
import subprocess
import sys

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nibabel.orientations import inv_ornt_aff
from numpy.testing import assert_array_equal

from crowdqc.findings import InputError
from crowdqc.schema import TABLES
from crowdqc.volumes import to_pictures
from samgen.generate import Task, generate_masks
from samgen.settings import PromptSettings, VolumeSettings
from tests.samgen.painting import (
    LABELS,
    MANY,
    ONE,
    SHAPE,
    THREE,
    Painter,
    consensus,
    files,
    generate,
    volume,
)

PICTURES = ["identity", "rot90", "rot180", "rot270", "flipud", "fliplr", "transpose", "transverse"]


@pytest.mark.parametrize("picture", PICTURES)
def test_a_box_lands_where_it_was_drawn(tmp_path, images, picture):
    prompts = consensus([1, "liver", 2, 3, 10, 8], [3, "aorta", 11, 1, 13, 4])
    settings = dataclasses.replace(ONE, picture=picture)

    generate(prompts, images, tmp_path / "out", settings=settings)

    written = nib.load(tmp_path / "out" / "a.nii.gz")
    pictures = to_pictures(np.asarray(written.dataobj), picture)
    expected = np.zeros_like(pictures)
    expected[1, 3:8, 2:10] = 7
    expected[3, 1:4, 11:13] = 300
    assert_array_equal(pictures, expected)


@pytest.mark.parametrize("axes", [[0, 1, 2], [1, 2, 0], [2, 1, 0]])
def test_masks_take_the_geometry_of_their_volume(tmp_path, axes):
    # Flipped, permuted, oblique and anisotropic.
    affine = inv_ornt_aff(np.array([[axes[0], -1], [axes[1], 1], [axes[2], -1]]), SHAPE)
    turn = np.array([[0.96, -0.28, 0], [0.28, 0.96, 0], [0, 0, 1]])
    affine[:3, :3] = turn @ affine[:3, :3] @ np.diag([0.7, 0.8, 3.0])
    image = volume(tmp_path / "a.nii.gz", affine)

    generate(consensus([1, "liver", 2, 3, 10, 8]), {"a": image}, tmp_path / "out")

    source = nib.load(image)
    for name, kind in (("a.nii.gz", np.uint8), ("a.uncertainty.nii.gz", np.float32)):
        written = nib.load(tmp_path / "out" / name)
        assert written.get_data_dtype() == kind
        assert written.shape == SHAPE
        assert_array_equal(written.affine, source.affine)
        for field in ("sform_code", "qform_code", "xyzt_units", "pixdim"):
            assert_array_equal(written.header[field], source.header[field])


def test_overlaps_go_to_the_most_probable(tmp_path, images):
    prompts = consensus([2, "liver", 0, 0, 20, 20], [2, "aorta", 5, 5, 9, 9])

    table = generate(prompts, images, tmp_path / "out")

    assert table["label"].tolist() == ["liver", "aorta"]
    assert table["area_px"].tolist() == [20 * 20 - 4 * 4, 4 * 4]


def test_the_table_says_what_was_done(tmp_path, images):
    prompts = consensus([1, "liver", 2, 3, 10, 8], [2, "liver", 2, 3, 10, 8])
    prompts.loc[1, "method"] = "interpolated"
    settings = dataclasses.replace(ONE, prompts=PromptSettings(n_prompts=5))

    table = generate(prompts, images, tmp_path / "out", settings=settings)

    assert list(table) == [column.name for column in TABLES["masks"]]
    assert table["model"].tolist() == ["painter"] * 2
    assert table["n_prompts"].tolist() == [5, 5]
    assert table["interpolated"].tolist() == [False, True]
    assert table["predicted_iou"].isna().all()
    assert (table["pairwise_dice"] < 1).all()
    assert table["z_dice"].between(0.8, 1).all()


def test_the_uncertainty_volume_holds_entropies(tmp_path, images):
    generate(consensus([1, "liver", 2, 3, 10, 8]), images, tmp_path / "out")

    uncertainty = to_pictures(nib.load(tmp_path / "out/a.uncertainty.nii.gz").get_fdata(), "rot90")
    p = 0.92  # what the painter gives to a box 8 px wide
    entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p))
    np.testing.assert_allclose(uncertainty[1, 3:8, 2:10], entropy, rtol=1e-5)
    assert np.count_nonzero(uncertainty) == 40


def test_only_slices_with_prompts_are_looked_at(tmp_path, images):
    prompts = consensus(
        [1, "liver", 2, 3, 10, 8],
        [1, "aorta", 2, 3, 10, 8],
        [2, "liver", 2, 3, 10, 8],
        [3, "liver", 2, 3, 10, 8],
        [4, "liver", np.nan, np.nan, np.nan, np.nan],
    )
    prompts.loc[3, "state"] = "no_consensus"
    model = Painter()

    table = generate(prompts, images, tmp_path / "out", predictor=model)

    assert model.encoded == 2
    assert len(table) == 3


def test_several_objects_of_one_label_stray_on_their_own(tmp_path, images):
    prompts = consensus([1, "liver", 12, 3, 22, 8], [1, "liver", 1, 13, 11, 18])
    seen = []

    class Spy(Painter):
        def predict(self, encoded, boxes):
            seen.append(boxes - boxes[0])
            return super().predict(encoded, boxes)

    settings = dataclasses.replace(ONE, prompts=PromptSettings(n_prompts=3))
    generate(prompts, images, tmp_path / "out", predictor=Spy(), settings=settings)

    assert not np.allclose(seen[0], seen[1])


def with_raters(prompts, *boxes):
    return prompts.assign(rater_boxes=pd.Series([boxes] * len(prompts), dtype=object))


def test_doubt_between_raters_and_within_their_prompts_is_told_apart(tmp_path, images):
    # Raters disagree on a column of the organ, and the painter does not mind a tenth of a side.
    prompts = with_raters(consensus([1, "liver", 2, 2, 12, 12]), (2, 2, 12, 12), (3, 2, 12, 12))
    settings = dataclasses.replace(ONE, prompts=PromptSettings(n_prompts=3, prompt_boxes="both"))

    row = generate(prompts, images, tmp_path / "raters", settings=settings).iloc[0]
    alone = generate(consensus([1, "liver", 2, 2, 12, 12]), images, tmp_path / "one")

    def entropy(p):
        return -(p * np.log(p) + (1 - p) * np.log(1 - p))

    # The painter says 0.9 to a box 10 px wide, 0.91 to one of 9; 0 in the first column there.
    doubtful = entropy(1.8 / 3) - 2 / 3 * entropy(0.9)
    rest = entropy((1.8 + 0.91) / 3) - (2 * entropy(0.9) + entropy(0.91)) / 3
    between = 0.1 * doubtful + 0.9 * rest
    assert row["mutual_information_between_raters"] == pytest.approx(between, abs=1e-6)
    assert row["mutual_information_within_raters"] == pytest.approx(0, abs=1e-6)
    assert row["mutual_information"] == pytest.approx(between, abs=1e-6)
    assert (
        alone[["mutual_information_between_raters", "mutual_information_within_raters"]]
        .isna()
        .all(axis=None)
    )


def test_boxes_of_raters_make_other_masks(tmp_path, images):
    prompts = consensus([1, "liver", 2, 2, 12, 12])
    settings = dataclasses.replace(ONE, prompts=PromptSettings(n_prompts=3))
    generate(prompts, images, tmp_path / "out", settings=settings)
    model = Painter()

    raters = with_raters(prompts, (2, 2, 12, 12), (3, 2, 12, 12))
    generate(raters, images, tmp_path / "out", predictor=model, settings=settings)

    assert model.encoded == 1


class Shifted(Painter):
    """Paints 2 px further right."""

    def predict(self, encoded, boxes):
        return super().predict(encoded, boxes + np.array([2, 0, 2, 0]))


def test_a_second_model_says_how_far_models_agree(tmp_path, images):
    prompts = consensus([1, "liver", 2, 3, 12, 8], [2, "liver", 2, 3, 6, 8])

    def table(second, out):
        task = Task(labels=LABELS, predictor=Painter(), settings=ONE, second=second)
        return generate_masks(prompts, task, images=images, out=tmp_path / out)

    both = table(Shifted("painter 2"), "both")
    assert both["model_dice"].tolist() == pytest.approx([0.8, 0.5])
    assert table(None, "one")["model_dice"].isna().all()
    # Masks are those of the first model alone.
    name = "a.nii.gz"
    assert (tmp_path / "both" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


def test_no_prompts_give_an_empty_table(tmp_path, images):
    table = generate(consensus(), images, tmp_path / "out")

    assert len(table) == 0
    assert list(table) == [column.name for column in TABLES["masks"]]


@pytest.mark.parametrize(
    ("prompts", "says"),
    [
        (
            consensus([1, "lung", 2, 3, 10, 8]),
            r"labels that \[labels\] does not name: lung. Run crowdqc gate again",
        ),
        (consensus([1, "liver", 2, 3, 10, 8], case="d"), "no volume for 1 of the cases .* 'd'"),
        (consensus([5, "liver", 2, 3, 10, 8]), "a.nii.gz: has 5 slices .* on slice 5"),
        (consensus([1, "liver", 2, 3, 32, 8]), r"24 rows and 30 columns .* 1 boxes .* outside"),
        (consensus([1, "liver", 2, 3, 10, 27]), r"\[2.0, 3.0, 10.0, 27.0\]"),
        (consensus([1, "liver", 2, -2, 10, 8]), "liver on slice 1"),
    ],
    ids=["label", "case", "slice", "right", "below", "above"],
)
def test_prompts_that_do_not_fit_the_images_are_refused(tmp_path, images, prompts, says):
    with pytest.raises(InputError, match=says):
        generate(prompts, images, tmp_path / "out")


def test_a_case_must_be_able_to_name_a_file(tmp_path, images):
    prompts = consensus([1, "liver", 2, 3, 10, 8], case="../a")

    with pytest.raises(InputError, match="must not hold a '/'"):
        generate(prompts, {"../a": images["a"]}, tmp_path / "out")


def test_drawing_with_the_embedded_model_never_loads_torch():
    code = (
        "import sys, samgen.generate, samgen.forecast, samgen.volume3d;"
        "import samgen.predictors.intensity;"
        "print([name for name in ('torch', 'segment_anything') if name in sys.modules])"
    )

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert said.stdout == "[]\n"


BETWEEN = {
    "reprompt": VolumeSettings(reprompt=True),
    "smooth": VolumeSettings(smooth_mm=2.0),
    "all": VolumeSettings(reprompt=True, smooth_mm=2.0, remove_islands=True, fill_holes=True),
}


def with_volume(name):
    return dataclasses.replace(ONE, volume=BETWEEN[name])


def test_a_slice_beside_its_neighbours_is_prompted_again(tmp_path, images):
    prompts = consensus(
        [0, "liver", 2, 3, 10, 11],
        [1, "liver", 12, 13, 20, 21],
        [2, "liver", 2, 3, 10, 11],
        [1, "aorta", 22, 3, 26, 7],
    )

    plain = generate(prompts, images, tmp_path / "plain")
    table = generate(prompts, images, tmp_path / "out", settings=with_volume("reprompt"))

    assert not plain["reprompted"].any()
    assert table.loc[table["reprompted"], ["slice", "label"]].to_numpy().tolist() == [[1, "liver"]]
    labels = to_pictures(nib.load(tmp_path / "out" / "a.nii.gz").get_fdata(), "rot90")
    assert_array_equal(labels[1] == 7, labels[0] == 7)
    assert (labels[1] == 300).sum() == 16


def test_probabilities_are_smoothed_across_slices_in_mm(tmp_path):
    # The organ jumps aside on one slice: its neighbours outvote it where slices are near.
    shape, jump = (30, 24, 17), 8
    prompts = consensus(
        *[[k, "liver", 2 + 6 * (k == jump), 3, 10 + 6 * (k == jump), 11] for k in range(17)]
    )
    areas = {}
    for spacing in (1.0, 20.0):
        image = volume(tmp_path / f"{spacing}.nii.gz", np.diag([1, 1, spacing, 1]), shape)
        out = tmp_path / f"out{spacing}"
        generate(prompts, {"a": image}, out, settings=with_volume("smooth"))
        labels = to_pictures(nib.load(out / "a.nii.gz").get_fdata(), "rot90")[jump] == 7
        areas[spacing] = [int(labels[:, part].sum()) for part in (slice(2, 8), slice(10, 16))]

    assert areas == {1.0: [48, 0], 20.0: [0, 48]}


def test_objects_of_one_label_on_one_slice_are_left_as_they_are(tmp_path, images):
    prompts = consensus(
        *[[k, "liver", 2 + 6 * (k == 1), 3, 10 + 6 * (k == 1), 11] for k in range(3)],
        [1, "liver", 20, 13, 26, 19],
    )

    plain = generate(prompts, images, tmp_path / "plain")
    table = generate(prompts, images, tmp_path / "out", settings=with_volume("all"))

    pd.testing.assert_frame_equal(table, plain)


def test_steps_between_slices_give_the_same_bytes_in_any_order(tmp_path, images):
    settings = dataclasses.replace(MANY, volume=BETWEEN["all"])
    first = generate(THREE, images, tmp_path / "first", settings=settings)
    generate(THREE, images, tmp_path / "second", settings=MANY)
    second = generate(THREE[::-1], images, tmp_path / "second", settings=settings)

    pd.testing.assert_frame_equal(first, second)
    assert files(tmp_path / "first") == files(tmp_path / "second")
