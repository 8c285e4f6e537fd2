"""Models of volumes: what they are asked, what becomes of what they draw, and what is refused."""

import dataclasses

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from crowdqc.schema import conform
from crowdqc.stages.mask_sets import known_empty
from crowdqc.volumes import to_pictures
from samgen.forecast import measure_rates
from samgen.generate import Task, generate_masks
from samgen.settings import VolumeSettings
from samgen.volume_predictor import VolumePrediction, VolumePredictor
from tests.samgen.painting import LABELS, MANY, ONE, Painter, consensus, files, generate


class Carver(VolumePredictor):
    """A fake model: each fused box of an object, and in gaps the box before, less surely."""

    name = "carver"
    signature = "carver 1"
    uses_gpu = False

    def __init__(self, drawings=1, change=None):
        self.drawings, self.change, self.asked, self.volume = drawings, change, [], None

    def predict(self, volume, prompts):
        self.asked.append(prompts)
        self.volume = volume
        boxes = dict(zip(prompts.slices, np.rint(prompts.boxes).astype(int), strict=True))
        slices = sorted([*prompts.slices, *prompts.gaps])
        found = np.zeros((self.drawings, len(slices), *volume.shape), np.float32)
        for index, k in enumerate(slices):
            x0, y0, x1, y1 = boxes[max(n for n in boxes if n <= k)]
            for n, plane in enumerate(found[:, index]):
                plane[y0:y1, x0 : x1 - n] = 0.9 if k in boxes else 0.7
        whole = slice(0, volume.shape[0]), slice(0, volume.shape[1])
        answer = VolumePrediction(
            slices=tuple(slices),
            region=whole,
            probability=found,
            measures={"propagation_dice": np.linspace(0.5, 1, len(slices))},
        )
        return answer if self.change is None else self.change(answer)


RUN = consensus([0, "liver", 2, 3, 10, 8], [3, "liver", 2, 3, 12, 8], [3, "aorta", 11, 1, 13, 4])


@pytest.mark.parametrize("picture", ["identity", "rot90", "transpose", "flipud"])
def test_boxes_land_where_they_were_drawn_and_gaps_are_filled_and_marked(tmp_path, images, picture):
    settings = dataclasses.replace(ONE, picture=picture)

    table = generate(RUN, images, tmp_path, predictor=Carver(), settings=settings)

    drawn = to_pictures(np.asarray(nib.load(tmp_path / "a.nii.gz").dataobj), picture)
    expected = np.zeros_like(drawn)
    expected[:3, 3:8, 2:10] = 7
    expected[3, 1:4, 11:13] = 300
    expected[3, 3:8, 2:12] = 7  # of equals the first wins
    assert_array_equal(drawn, expected)
    assert table["slice"].tolist() == [0, 1, 2, 3, 3]
    assert table["interpolated"].tolist() == [False, True, True, False, False]
    assert table["n_prompts"].tolist() == [1, 0, 0, 1, 1]
    assert table["propagation_dice"].round(2).tolist() == [0.5, 0.67, 0.83, 1, 0.5]


def test_slices_that_are_known_empty_are_no_gaps(tmp_path, images):
    model = Carver()
    task = Task(
        labels=LABELS, predictor=model, settings=ONE, empty={"a": {"liver": frozenset({1})}}
    )

    table = generate_masks(RUN, task, images=images, out=tmp_path)

    assert table["slice"].tolist() == [0, 2, 3, 3]
    assert [one.gaps for one in model.asked] == [[2], []]
    again = dataclasses.replace(task, empty={})
    assert len(generate_masks(RUN, again, images=images, out=tmp_path)) == 5


def test_a_model_is_told_what_is_known(tmp_path, images):
    model = Carver()
    spread = {f"spread_{edge}": [1.0, np.nan, 2.0] for edge in ("x0", "y0", "x1", "y1")}
    table = RUN.assign(**spread, rater_boxes=[((1, 2, 9, 8), (2, 3, 10, 8)), (), ()])
    table.loc[1, "method"] = "interpolated"

    generate(table, images, tmp_path, predictor=model, settings=MANY)

    liver, aorta = model.asked
    assert (liver.label, liver.slices, liver.tracked) == ("liver", (0, 3), True)
    assert liver.interpolated.tolist() == [False, True]
    assert np.isnan(liver.spread[1]).all()
    assert liver.spread[0].tolist() == [1, 1, 1, 1]
    assert [len(boxes) for boxes in liver.raters] == [2, 0]
    assert [len(one.boxes) for one in liver.prompts] == [4, 4]
    assert_array_equal(aorta.boxes, [[11, 1, 13, 4]])
    volume = model.volume
    stored = nib.load(images["a"]).get_fdata(dtype=np.float32)
    assert_array_equal(volume.intensities, to_pictures(stored, "rot90"))
    assert volume.intensities is volume.intensities


def test_several_objects_on_a_slice_are_asked_for_one_by_one(tmp_path, images):
    model = Carver()
    two = consensus(
        [1, "liver", 2, 3, 10, 8], [1, "liver", 12, 13, 20, 18], [3, "liver", 2, 3, 9, 8]
    )

    table = generate(two, images, tmp_path, predictor=model)

    assert [one.slices for one in model.asked] == [(1,), (1,), (3,)]
    assert not any(one.tracked for one in model.asked)
    assert table["area_px"].tolist() == [40, 40, 35]


def test_drawings_say_how_sure_the_model_is(tmp_path, images):
    once = generate(RUN, images, tmp_path / "1", predictor=Carver())
    thrice = generate(RUN, images, tmp_path / "3", predictor=Carver(drawings=3))

    assert once["pairwise_dice"].isna().all()
    expected = np.mean([2 * 35 / 75, 2 * 30 / 70, 2 * 30 / 65])
    assert thrice["pairwise_dice"].iloc[0] == pytest.approx(expected)
    assert (thrice["mutual_information"] > 0).all()


@pytest.mark.parametrize("first", [Carver, Painter])
def test_a_model_of_pictures_and_one_of_volumes_are_compared(tmp_path, images, first):
    second = Painter() if first is Carver else Carver()
    task = Task(labels=LABELS, predictor=first(), settings=ONE, second=second)

    table = generate_masks(RUN, task, images=images, out=tmp_path)

    drawn = ~table["interpolated"]
    assert (table.loc[drawn, "model_dice"] == 1).all()
    assert table.loc[~drawn, "model_dice"].isna().all()


def test_islands_of_a_volume_are_removed(tmp_path, images):
    def with_island(answer):
        answer.probability[:, :, 20:22, 20:22] = 0.8
        return answer

    clean = dataclasses.replace(ONE, volume=VolumeSettings(remove_islands=True, smooth_mm=2))
    run = consensus(*[[k, "liver", 2, 3, 10, 8] for k in range(3)])

    table = generate(run, images, tmp_path, predictor=Carver(change=with_island), settings=clean)

    assert table["removed_px"].tolist() == [4, 4, 4]
    assert table["area_px"].tolist() == [40, 40, 40]


def test_a_run_goes_on_and_ends_with_the_same_bytes(tmp_path, images):
    many = pd.concat([RUN, RUN.assign(case="b"), RUN.assign(case="c")], ignore_index=True)
    whole = generate(many, images, tmp_path / "whole", predictor=Carver(2))

    class Killed(Carver):
        def predict(self, volume, prompts):
            if len(self.asked) == 3:
                raise KeyboardInterrupt
            return super().predict(volume, prompts)

    with pytest.raises(KeyboardInterrupt):
        generate(many, images, tmp_path / "cut", predictor=Killed(2))
    model = Carver(2)
    again = generate(many, images, tmp_path / "cut", predictor=model)

    assert len(model.asked) == 4  # case a was done
    pd.testing.assert_frame_equal(again, whole)
    assert files(tmp_path / "cut") == files(tmp_path / "whole")


def test_progress_counts_every_slice_once(tmp_path, images):
    told = []
    generate(RUN, images, tmp_path, predictor=Carver(), progress=lambda *n: told.append(n))

    assert sum(drawn for drawn, _ in told) == 2
    assert {total for _, total in told} == {2}


def test_time_is_measured_on_the_shortest_object(images):
    model = Carver()
    rates = measure_rates(
        RUN, Task(labels=LABELS, predictor=model, settings=ONE), images=images, cases=["a"]
    )

    assert {one.label for one in model.asked} == {"aorta"}
    assert rates.slice_s > 0
    assert rates.prompt_s == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda a: dataclasses.replace(a, probability=a.probability[:, 1:]), "'probability' must"),
        (lambda a: dataclasses.replace(a, probability=a.probability[0]), "must have the shape"),
        (
            lambda a: dataclasses.replace(a, slices=a.slices[1:], probability=a.probability[:, 1:]),
            r"'slices' must hold all that were asked for; \[0\] are missing",
        ),
    ],
)
def test_a_model_that_answers_something_else_is_told(tmp_path, images, change, says):
    with pytest.raises(ValueError, match=says):
        generate(RUN, images, tmp_path, predictor=Carver(change=change))


def test_what_was_read_and_not_drawn_is_known_empty():
    run = consensus(*[[k, "liver", 0, 0, 9, 9] for k in (1, 2, 6)], [3, "aorta", 0, 0, 9, 9])
    unsure = consensus([4, "liver", 0, 0, 9, 9]).assign(state="no_consensus")
    readings = conform(
        "readings",
        pd.DataFrame(
            [
                ("a", 0, "", "reviewed_empty"),
                ("a", 3, "", "boxed"),
                ("a", 4, "", "boxed"),
                ("a", 5, "aorta", "reviewed_empty"),
                ("b", 3, "", "boxed"),
            ],
            columns=["case", "slice", "labels", "state"],
        ).assign(rater="r"),
    )

    assert known_empty(readings, pd.concat([run, unsure])) == {"a": {"liver": frozenset({3})}}
    opened = readings.assign(state="opened")
    assert known_empty(opened, run) == {}
