"""From boxes on pictures to masks in the patient, for every way in which a volume may be stored."""

import itertools

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import SimpleITK
from scipy.spatial.transform import Rotation

from crowdqc.config import Window
from crowdqc.schema import conform
from crowdqc.volumes import write_volume
from samgen.generate import Task, generate_masks
from samgen.predictor import BoxPredictor, Prediction
from samgen.predictors.intensity import IntensityPredictor
from samgen.settings import MaskSettings, PromptSettings
from tests.crowdqc.dicoms import write_series
from tests.turns import TURNS

CODES = [
    "".join(pair[flip] for pair, flip in zip(order, flips, strict=True))
    for order in itertools.permutations([("L", "R"), ("P", "A"), ("I", "S")])
    for flips in itertools.product([0, 1], repeat=3)
]
PLANES = {"axial": "RAS", "coronal": "RSA", "sagittal": "ASR"}
LABELS = {"organ": 1, "dot": 300}
SIZES = {"R": 11, "A": 14, "S": 9}
ORGAN = {"R": slice(2, 6), "A": slice(5, 12), "S": slice(3, 7)}
DOT = {"R": 9, "A": 3, "S": 8}  # a single voxel


class Painter(BoxPredictor):
    """A fake model that fills each box, and pixels that it cuts in part."""

    name = signature = "painter"
    last_wins = False

    def __init__(self):
        self.sums = []

    def encode(self, picture):
        self.sums.append(int(picture.sum()))
        return picture

    def predict(self, encoded, boxes):
        probability = np.zeros((len(boxes), *encoded.shape), np.float32)
        for mask, (x0, y0, x1, y1) in zip(probability, boxes, strict=True):
            rows, columns = (
                np.clip(np.minimum(np.arange(n) + 1, b) - np.maximum(np.arange(n), a), 0, 1)
                for n, a, b in ((mask.shape[0], y0, y1), (mask.shape[1], x0, x1))
            )
            mask[:] = 0.9 * np.outer(rows, columns)
        return Prediction(probability, np.full(len(boxes), np.nan))


def patient(codes):
    """Labels of a patient, stored along `codes`, built axis by axis from what each means."""
    volume = np.zeros([SIZES[axis_of(code)] for code in codes], np.int16)
    for value, place in ((1, ORGAN), (300, DOT)):
        index = []
        for code in codes:
            n, where = SIZES[axis_of(code)], place[axis_of(code)]
            line = np.zeros(n, bool)
            line[where] = True
            index.append(line if code in "RAS" else line[::-1])
        volume[np.ix_(*index)] = value
    return volume


def axis_of(code):
    return {"L": "R", "P": "A", "I": "S"}.get(code, code)


def affine_of(codes, spacing, rotation):
    """Affine of a volume stored along `codes`; the patient does not move with the storage."""
    affine = np.eye(4)
    for column, code in enumerate(codes):
        axis = "RAS".index(axis_of(code))
        step = np.zeros(3)
        step[axis] = spacing[axis_of(code)] * (1 if code in "RAS" else -1)
        affine[:3, column] = rotation @ step
        if code not in "RAS":
            affine[:3, 3] -= rotation @ step * (SIZES[axis_of(code)] - 1)
    affine[:3, 3] += 3, -5, 7
    return affine


def save(path, codes, affine):
    image = nib.Nifti1Image(patient(codes), affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=2)
    image.set_qform(affine, code=1)
    nib.save(image, path)
    return path


def boxes_on(volume, picture):
    """Tight boxes on the pictures of ``volume[:, :, k]``, found pixel by pixel."""
    rows = []
    for k in range(volume.shape[2]):
        seen = TURNS[picture](volume[:, :, k])
        for label, value in LABELS.items():
            pixels = [
                (c, r) for r, line in enumerate(seen) for c, v in enumerate(line) if v == value
            ]
            if pixels:
                xs, ys = zip(*pixels, strict=True)
                rows.append((k, label, min(xs), min(ys), max(xs) + 1, max(ys) + 1))
    frame = pd.DataFrame(rows, columns=["slice", "label", "x0", "y0", "x1", "y1"])
    return conform(
        "consensus",
        frame.assign(case="a", support=1, n_raters=1, method="median", state="single"),
    )


def draw(prompts, image, out, *, plane, picture, predictor=None, n_prompts=1):
    wanted = MaskSettings(
        plane=plane,
        picture=picture,
        window=Window(level=150, width=300),
        prompts=PromptSettings(n_prompts=n_prompts),
    )
    task = Task(labels=LABELS, predictor=predictor or Painter(), settings=wanted)
    table = generate_masks(prompts, task, images={"a": image}, out=out)
    return table, out / "a.nii.gz"


def centroids(path):
    """Centres of the labels in the patient, in mm, as SimpleITK measures them."""
    measure = SimpleITK.LabelShapeStatisticsImageFilter()
    measure.Execute(SimpleITK.ReadImage(str(path), SimpleITK.sitkUInt16))
    return {value: measure.GetCentroid(value) for value in measure.GetLabels()}


def assert_geometry_kept(path, source):
    written, image = nib.load(path), nib.load(source)
    np.testing.assert_array_equal(written.affine, image.affine)
    assert written.shape == image.shape
    for field in ("sform_code", "qform_code", "xyzt_units", "pixdim"):
        np.testing.assert_array_equal(written.header[field], image.header[field])


@pytest.mark.parametrize("plane", ["stored", *PLANES])
@pytest.mark.parametrize("codes", CODES)
def test_masks_lie_where_the_boxes_were_drawn(tmp_path, codes, plane):
    # Another oblique, anisotropic grid for each, and each of the eight turns in its turn.
    rng = np.random.default_rng([CODES.index(codes), len(plane)])
    rotation = Rotation.from_euler("xyz", rng.uniform(-25, 25, 3), degrees=True).as_matrix()
    spacing = dict(zip("RAS", rng.uniform(0.4, 7, 3), strict=True))
    picture = list(TURNS)[rng.integers(8)]
    image = save(tmp_path / "a.nii.gz", codes, affine_of(codes, spacing, rotation))
    seen = patient(codes if plane == "stored" else PLANES[plane])

    table, mask = draw(
        boxes_on(seen, picture), image, tmp_path / "out", plane=plane, picture=picture
    )

    assert_geometry_kept(mask, image)
    np.testing.assert_array_equal(np.asarray(nib.load(mask).dataobj), patient(codes))
    # The same patient, whatever the storage: SimpleITK, which reads geometry by itself, agrees.
    for value, place in ((1, ORGAN), (300, DOT)):
        middle = [
            (p.start + p.stop - 1) / 2 if isinstance(p, slice) else p
            for p in (place[axis] for axis in "RAS")
        ]
        world = rotation @ (np.array(middle) * list(spacing.values())) + [3, -5, 7]
        np.testing.assert_allclose(centroids(mask)[value], world * [-1, -1, 1], atol=1e-3)
    assert table.set_index("label").loc["dot", "area_px"] == 1


@pytest.mark.parametrize("plane", PLANES)
def test_pictures_of_a_plane_are_the_same_however_a_volume_is_stored(tmp_path, plane):
    prompts, sums = boxes_on(patient(PLANES[plane]), "transverse"), set()
    for codes in CODES[::5]:
        affine = affine_of(codes, {"R": 1.0, "A": 2.0, "S": 3.0}, np.eye(3))
        image, model = save(tmp_path / f"{codes}.nii.gz", codes, affine), Painter()
        draw(prompts, image, tmp_path / codes, plane=plane, picture="transverse", predictor=model)
        sums.add(tuple(model.sums))

    assert len(sums) == 1


@pytest.mark.parametrize("plane", ["stored", *PLANES])
def test_a_dicom_series_gives_the_masks_of_its_nifti(tmp_path, plane):
    axes = Rotation.from_euler("xyz", (5, -10, 15), degrees=True).as_matrix()[:2]
    folder = write_series(tmp_path / "dicom", patient("LPS"), axes=axes, spacing=(0.7, 0.9, 2.5))
    write_volume(tmp_path / "ct.nii.gz", folder)
    prompts = boxes_on(patient("LPS" if plane == "stored" else PLANES[plane]), "transpose")

    _, a = draw(prompts, folder, tmp_path / "a", plane=plane, picture="transpose")
    _, b = draw(prompts, tmp_path / "ct.nii.gz", tmp_path / "b", plane=plane, picture="transpose")

    np.testing.assert_array_equal(np.asarray(nib.load(a).dataobj), patient("LPS"))
    assert a.read_bytes() == b.read_bytes()


@pytest.mark.parametrize("n_prompts", [1, 5])
def test_a_box_round_one_pixel_gives_that_pixel(tmp_path, n_prompts):
    image = save(
        tmp_path / "a.nii.gz", "LPS", affine_of("LPS", dict.fromkeys("RAS", 1.0), np.eye(3))
    )
    prompts = boxes_on(patient("LPS"), "rot90")
    prompts = prompts[prompts["label"] == "dot"]

    table, mask = draw(
        prompts,
        image,
        tmp_path / "out",
        plane="stored",
        picture="rot90",
        predictor=IntensityPredictor(),
        n_prompts=n_prompts,
    )

    np.testing.assert_array_equal(np.asarray(nib.load(mask).dataobj) == 300, patient("LPS") == 300)
    assert table["area_px"].tolist() == [1]
