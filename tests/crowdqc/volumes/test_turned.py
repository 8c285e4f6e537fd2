"""Boxes that were drawn on pictures turned otherwise are noticed, and others never blamed."""

import numpy as np
import pandas as pd
import pytest

from crowdqc.volumes import Geometry, from_pictures, grid_mismatch, to_pictures
from crowdqc.volumes.turned import TURNS, Turn, better_turn, edge_steps, turned_steps
from tests.commands import call
from tests.niftis import AFFINE, save
from tests.studies import VOLUMES, write_boxes

SHAPE = (10, 40, 40)
ORGAN = [7, 22, 17, 36]
"""Left and top of the middle, so that no turn but one lays it on itself."""


def organ(case, label):
    """Box of an organ on slices 1 to 4 of ten: x0, y0, x1, y1."""
    right, down = case % 3, -(case % 4) - 15 * label
    return np.add(ORGAN, [right, down, right, down])


def pictures(case):
    """Pictures of two organs in noise."""
    found = np.random.default_rng(case).normal(50, 12, SHAPE)
    for label in (0, 1):
        x0, y0, x1, y1 = organ(case, label)
        found[1:5, y0:y1, x0:x1] += 60
    return found


def steps(turn, *, seen=pictures, n=4):
    """Of all cases and labels, where raters saw pictures made by `turn`."""
    rows = []
    for case in range(n):
        shown = seen(case)[::-1] if turn.backwards else seen(case)
        volume = from_pictures(shown, turn.picture)
        for label in (0, 1):
            boxes = [organ(case, label)[None]] * 4
            rows.append(turned_steps(volume, range(1, 5), boxes).mean(axis=0))
    return np.array(rows)


@pytest.mark.parametrize("true", TURNS, ids=str)
def test_the_way_in_which_raters_saw_pictures_is_found(true):
    found = steps(true)

    assert {better_turn(found, now) for now in TURNS} == {true, None}
    assert better_turn(found, true) is None


@pytest.mark.parametrize("seed", range(5))
def test_noise_says_nothing(seed):
    found = steps(TURNS[0], seen=lambda k: np.random.default_rng((seed, k)).normal(size=SHAPE))

    assert {better_turn(found, now) for now in TURNS} == {None}


def test_few_cases_say_nothing():
    assert better_turn(steps(TURNS[0], n=2), TURNS[5]) is None


def test_steps_are_differences_of_means_beside_each_edge():
    picture = np.random.default_rng(1).uniform(size=(30, 40))
    inside, outside = np.s_[10:22, 8:9], np.s_[10:22, 7:8]
    edges = [
        (inside, outside),
        (np.s_[10:22, 15:16], np.s_[10:22, 16:17]),
        (np.s_[4:7, 10:14], np.s_[1:4, 10:14]),
        (np.s_[25:28, 10:14], np.s_[28:30, 10:14]),  # of three rows, two are in the picture
    ]
    expected = np.mean([abs(picture[a].mean() - picture[b].mean()) for a, b in edges])

    assert edge_steps(picture, np.array([[8, 4, 16, 28]]))[0] == pytest.approx(expected)
    assert np.isnan(edge_steps(picture, np.array([[0, 0, 40, 30], [5, 5, 8, 20]]))).all()


def write(folder, *, picture, affines=(AFFINE,) * 4, plane="stored"):
    rows = []
    for case, affine in enumerate(affines):
        volume = from_pictures(pictures(case), "rot90")
        save(folder / f"c{case}.nii.gz", volume, affine=affine)
        rows += [
            (f"c{case}", k, rater, "liver", *organ(case, label))
            for k in range(1, 5)
            for rater in ("ann", "bob")
            for label in (0, 1)
        ]
    study = write_boxes(folder, rows)
    images = VOLUMES.replace("identity", picture) + f'plane = "{plane}"\n'
    study.write_text(study.read_text(encoding="utf-8") + images, encoding="utf-8")
    return study


def test_check_names_the_picture_that_boxes_fit(tmp_path):
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    for folder in (right, wrong):
        folder.mkdir()

    clean = call("check", write(right, picture="rot90", affines=[AFFINE] * 6))
    found = call("check", write(wrong, picture="flipud", affines=[AFFINE] * 6), "--format", "csv")

    assert "picture-turned" not in clean.output
    assert "picture-turned" in found.output
    assert "Set picture = 'rot90'" in found.output


def test_slices_counted_from_the_other_end_are_told(tmp_path):
    study = write(tmp_path, picture="rot90", affines=[AFFINE] * 6)
    boxes = pd.read_csv(tmp_path / "boxes.csv")
    boxes.assign(slice=9 - boxes["slice"]).to_csv(tmp_path / "boxes.csv", index=False)

    found = call("check", study, "--format", "csv").output

    assert "Boxes fit slices counted from the other end better" in found
    assert "Set picture" not in found


def test_volumes_stored_in_several_orientations_are_told(tmp_path):
    other = np.diag([1.0, -1.0, 3.0, 1.0])

    found = call(
        "check", write(tmp_path, picture="rot90", affines=[AFFINE] * 3 + [other]), "--format", "csv"
    )

    assert "orientations-vary" in found.output
    assert "LAS in 3 volumes, such as c0; RPS in 1 volume, such as c3" in found.output


def test_a_plane_of_the_patient_makes_orientations_alike(tmp_path):
    other = np.diag([1.0, -1.0, 3.0, 1.0])
    study = write(tmp_path, picture="rot90", affines=[AFFINE] * 3 + [other], plane="axial")

    assert "orientations-vary" not in call("check", study, "--format", "csv").output


def test_steps_do_not_change_with_the_grey_values():
    volume = from_pictures(pictures(0), "rot90")
    boxes = [organ(0, 0)[None]]

    plain, bent = (turned_steps(one, [2], boxes) for one in (volume, np.exp(volume / 40)))

    np.testing.assert_allclose(plain, bent, atol=1e-9)
    assert to_pictures(volume, "rot90").shape == SHAPE
    assert plain.shape == (1, len(TURNS))
    assert plain[0].argmax() == TURNS.index(Turn("rot90", backwards=False))


def test_volumes_that_only_lie_otherwise_are_told_what_turns_them_alike():
    a = Geometry((4, 5, 6), np.diag([1.0, 1, 1, 1]))
    turned, moved = np.diag([-1.0, -1, 1, 1]), np.eye(4)
    moved[0, 3] = 2.0

    assert "point to RAS and LPS: [images] plane" in grid_mismatch(a, Geometry((4, 5, 6), turned))
    assert "point to" not in grid_mismatch(a, Geometry((4, 5, 6), moved))
