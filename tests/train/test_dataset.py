"""nnU-Net datasets: what is in them, that nnU-Net accepts them, and what is refused."""

import json
import math

import nibabel as nib
import numpy as np
import pytest

from crowdqc.findings import InputError
from crowdqc.simulate import make_abdomen
from crowdqc.simulate.abdomen import LABELS
from crowdqc.simulate.demo import write_pictures
from tests.niftis import save
from train.dataset import DatasetPlan, TrainingCase, build_dataset, training_labels
from train.environment import Folders, nnunet

VALUES = {"spleen": 10, "liver": 300}


def labels_of(path):
    return np.asarray(nib.load(path).dataobj)


@pytest.fixture
def cases(tmp_path):
    rng = np.random.default_rng(0)
    result = []
    for name in ("c1", "c2", "c10"):
        image = rng.integers(-100, 200, size=(6, 5, 4))
        mask = np.zeros((6, 5, 4))
        mask[0:2, :, 1:3], mask[3:5, :, 2:4] = 10, 300
        result.append(
            TrainingCase(
                case=name,
                image=save(tmp_path / "in" / f"{name}.nii.gz", image),
                mask=save(tmp_path / "in" / f"{name}-mask.nii.gz", mask, dtype=np.uint16),
            )
        )
    return result


def plan(training, **more):
    return DatasetPlan(
        **{"number": 501, "name": "trial", "labels": VALUES, "training": training, **more}
    )


def test_a_dataset_has_nnunet_s_layout(cases, tmp_path):
    built = build_dataset(tmp_path / "raw", plan(cases[:2], test={"c10": cases[2].image}))

    assert built.folder == tmp_path / "raw" / "Dataset501_trial"
    assert (built.cases, built.findings) == (("c1", "c2"), [])
    files = sorted(p.relative_to(built.folder).as_posix() for p in built.folder.rglob("*.gz"))
    assert files == [
        "imagesTr/c1_0000.nii.gz",
        "imagesTr/c2_0000.nii.gz",
        "imagesTs/c10_0000.nii.gz",
        "labelsTr/c1.nii.gz",
        "labelsTr/c2.nii.gz",
    ]
    described = json.loads((built.folder / "dataset.json").read_text(encoding="utf-8"))
    assert described["labels"] == {"background": 0, "spleen": 1, "liver": 2}
    assert described["channel_names"] == {"0": "CT"}
    assert (described["numTraining"], described["file_ending"]) == (2, ".nii.gz")
    assert described["crowdqc"]["test"] == ["c10"]
    label = nib.load(built.folder / "labelsTr" / "c1.nii.gz")
    assert label.get_data_dtype() == np.uint8
    expected = {0: 0, 10: 1, 300: 2}
    original = labels_of(cases[0].mask)
    assert (labels_of(label.get_filename()) == np.vectorize(expected.get)(original)).all()
    assert (label.affine == nib.load(cases[0].image).affine).all()
    assert (built.folder / "imagesTr/c1_0000.nii.gz").read_bytes() == cases[0].image.read_bytes()


def test_built_twice_it_is_the_same_byte_by_byte(cases, tmp_path):
    def files(raw):
        folder = build_dataset(raw, plan(cases)).folder
        return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    first = files(tmp_path / "one")

    assert files(tmp_path / "two") == first
    assert files(tmp_path / "one") == first  # in place of itself


def test_building_again_leaves_nothing_of_the_cases_before(cases, tmp_path):
    build_dataset(tmp_path / "raw", plan(cases))
    built = build_dataset(tmp_path / "raw", plan(cases[:1]))

    assert [p.name for p in (built.folder / "labelsTr").iterdir()] == ["c1.nii.gz"]
    assert [p.name for p in (tmp_path / "raw").iterdir()] == ["Dataset501_trial"]


@pytest.mark.parametrize("place", ["hardlink", "symlink"])
def test_images_may_be_linked(cases, tmp_path, place):
    built = build_dataset(tmp_path / "raw", plan(cases), place=place)

    image = built.folder / "imagesTr" / "c1_0000.nii.gz"
    assert image.samefile(cases[0].image)
    assert image.is_symlink() == (place == "symlink")


def test_an_image_that_is_not_gzipped_is_written_so(cases, tmp_path):
    bare = save(tmp_path / "in" / "bare.nii", labels_of(cases[0].image))
    case = TrainingCase(case="c1", image=bare, mask=cases[0].mask)

    built = build_dataset(tmp_path / "raw", plan([case]), place="symlink")

    image = built.folder / "imagesTr" / "c1_0000.nii.gz"
    assert (labels_of(image) == labels_of(bare)).all()


def broken(kind, case, folder):
    """A case with one fault."""
    image, mask = case.image, labels_of(case.mask)
    affine = nib.load(case.mask).affine.copy()
    path = folder / "in" / "broken.nii.gz"
    match kind:
        case "shape":
            save(path, mask[:-1])
        case "affine":
            affine[2, 3] += 0.01
            save(path, mask, affine=affine)
        case "mirrored header":
            save(path, mask, affine=affine @ np.diag([-1.0, 1.0, 1.0, 1.0]))
        case "value":
            save(path, np.where(mask == 10, 11, mask))
        case "fraction":
            save(path, mask / 20, dtype=np.float32)
        case "nan":
            save(path, np.where(mask == 10, math.nan, mask), dtype=np.float32)
        case "empty":
            save(path, mask * 0)
        case "cut":
            path.write_bytes(case.mask.read_bytes()[:-12])
        case "no image":
            path, image = case.mask, folder / "none.nii.gz"
    return TrainingCase(case="bad", image=image, mask=path)


@pytest.mark.parametrize(
    ("kind", "check", "says"),
    [
        ("shape", "dataset-geometry", "shapes are (6, 5, 4) and (5, 5, 4)"),
        ("affine", "dataset-geometry", "differ by 0.01"),
        ("mirrored header", "dataset-geometry", "differ by 2"),
        ("value", "dataset-unknown-value", "holds the values [11]"),
        ("fraction", "dataset-file", "whole numbers"),
        ("nan", "dataset-file", "whole numbers"),
        ("empty", "dataset-empty-mask", "nothing is labelled"),
        ("cut", "dataset-file", "broken.nii.gz"),
        ("no image", "dataset-file", "none.nii.gz"),
    ],
)
def test_a_case_that_does_not_fit_is_left_out_and_told(cases, tmp_path, kind, check, says):
    bad = broken(kind, cases[2], tmp_path)

    built = build_dataset(tmp_path / "raw", plan([*cases[:2], bad]))

    assert built.cases == ("c1", "c2")
    assert [(f.check, f.case, f.severity) for f in built.findings] == [(check, "bad", "reject")]
    assert says in built.findings[0].message
    assert len(list((built.folder / "imagesTr").iterdir())) == 2
    assert (
        json.loads((built.folder / "dataset.json").read_text(encoding="utf-8"))["numTraining"] == 2
    )


def test_a_dataset_without_cases_is_refused_and_leaves_nothing(cases, tmp_path):
    bad = broken("empty", cases[0], tmp_path)

    with pytest.raises(InputError, match=r"no case is left to train on\.\n.*nothing is labelled"):
        build_dataset(tmp_path / "raw", plan([bad]))
    assert list((tmp_path / "raw").iterdir()) == []


def test_a_case_cannot_be_in_training_and_test(cases, tmp_path):
    with pytest.raises(InputError, match="c2 cannot be in training and in test"):
        build_dataset(tmp_path / "raw", plan(cases, test={"c2": cases[1].image}))


def test_a_folder_of_others_is_not_touched(cases, tmp_path):
    stranger = tmp_path / "raw" / "Dataset501_trial"
    stranger.mkdir(parents=True)
    (stranger / "dataset.json").write_text('{"labels": {}}')

    with pytest.raises(InputError, match="was not built by crowdqc"):
        build_dataset(tmp_path / "raw", plan(cases))
    assert (stranger / "dataset.json").read_text(encoding="utf-8") == '{"labels": {}}'


def test_what_is_not_known_is_removed_or_ignored_slice_by_slice():
    mask = np.zeros((3, 1, 3), dtype=int)
    mask[0], mask[1] = 10, 300  # on each of three slices: spleen, liver, background
    unknown = np.array([[False, False], [True, False], [True, True]])

    removed = training_labels(mask, values=[10, 300], unknown=unknown)
    ignored = training_labels(mask, values=[10, 300], unknown=unknown, unknown_is="ignore")

    # Rows of the table: spleen, liver, background. Columns: all known, spleen unknown, none known.
    assert removed[:, 0].tolist() == [[1, 0, 0], [2, 2, 0], [0, 0, 0]]
    assert ignored[:, 0].tolist() == [[1, 3, 3], [2, 2, 3], [0, 3, 3]]


def test_the_ignore_label_is_the_highest_and_declared(cases, tmp_path):
    unknown = np.zeros((4, 2), dtype=bool)
    unknown[1] = True
    case = TrainingCase(case="c1", image=cases[0].image, mask=cases[0].mask, unknown=unknown)

    built = build_dataset(tmp_path / "raw", plan([case], unknown_is="ignore"))

    described = json.loads((built.folder / "dataset.json").read_text(encoding="utf-8"))
    assert described["labels"] == {"background": 0, "spleen": 1, "liver": 2, "ignore": 3}
    labels = labels_of(built.folder / "labelsTr" / "c1.nii.gz")
    assert (labels[..., 1] == 3).all()
    assert (labels[..., 0] == 0).all()


def test_a_case_of_which_nothing_is_known_is_left_out(cases, tmp_path):
    unknown = np.ones((4, 2), dtype=bool)
    case = TrainingCase(case="c1", image=cases[0].image, mask=cases[0].mask, unknown=unknown)

    built = build_dataset(tmp_path / "raw", plan([case, cases[1]], unknown_is="ignore"))

    assert [f.check for f in built.findings] == ["dataset-empty-mask"]


@pytest.mark.parametrize("unknown_is", ["background", "ignore"])
def test_nnunet_finds_the_dataset_sound(tmp_path, unknown_is):
    integrity = pytest.importorskip("nnunetv2.experiment_planning.verify_dataset_integrity")
    training = []
    for number in range(2):
        abdomen = make_abdomen(np.random.default_rng(number), shape=(24, 48, 48), spacing=(7, 7, 5))
        paths = [tmp_path / "in" / f"{kind}{number}.nii.gz" for kind in ("ct", "mask")]
        write_pictures(paths[0], abdomen.density, abdomen)
        write_pictures(paths[1], abdomen.mask, abdomen)
        unknown = np.zeros((24, 5), dtype=bool)
        unknown[:4] = True
        training.append(
            TrainingCase(case=f"a{number}", image=paths[0], mask=paths[1], unknown=unknown)
        )
    folders = Folders(tmp_path)
    built = build_dataset(folders.raw, plan(training, labels=LABELS, unknown_is=unknown_is))

    with nnunet(folders, workers=0):
        integrity.verify_dataset_integrity(str(built.folder), 1)

    said = folders.log.read_text(encoding="utf-8")
    assert "verify_dataset_integrity Done" in said
    assert "Warning" not in said
    assert "Error" not in said
