"""The whole path on real CT and MR, as a user runs it: with the embedded model, and with a SAM
whose weights are random, which shows the mechanics and nothing else."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import SimpleITK
from PIL import Image

from crowdqc.geometry import pixels_to_yolo
from crowdqc.volumes import write_volume
from tests.commands import call

CONFIGS = Path(__file__).parents[2] / "configs"
CTS, MR = ("amos_0004_75", "amos_0006_90"), "amos_0507_31"
LABELS = {"liver": 1, "aorta": 2, "kidney": 3}
KIDNEY = [86, 96, 133, 141]
"""ObjectMask by hand on the MR slice, which comes without masks."""

STUDY = """
[study]
name = "sam-med2d"
[labels]
0 = { name = "liver", value = 1, single = false }
1 = { name = "aorta", value = 2 }
2 = { name = "kidney", value = 3, single = false }
[annotations]
format = "yolo"
path = "boxes/{case}-slice{slice}.txt"
rater = "ann"
[images]
path = "images/{case}.nii.gz"
picture = "transpose"
window = { percentiles = [0.5, 99.5] }
[truth]
path = "truth/{case}.nii.gz"
[masks]
prompts = 4
"""


@pytest.fixture(scope="module")
def sam_med2d(data, tmp_path_factory):
    """A study of real slices, each a volume of its own, with a tight box round each mask."""
    folder = tmp_path_factory.mktemp("sam_med2d")
    source = data / "sam_med2d" / "data_demo"
    for name in ("images", "truth", "boxes"):
        (folder / name).mkdir()
    for case in (*CTS, MR):
        picture = np.asarray(Image.open(source / "images" / f"{case}.png").convert("L"))
        affine = np.diag([-0.8, -0.8, 5.0, 1.0])
        nib.save(
            nib.Nifti1Image(picture.T[..., None], affine), folder / "images" / f"{case}.nii.gz"
        )
        labels, boxes = np.zeros(picture.shape, np.uint8), []
        for key, (label, value) in enumerate(LABELS.items()):
            for path in sorted((source / "masks").glob(f"{case}_{label}_*.png")):
                mask = np.asarray(Image.open(path).convert("L")) > 0
                labels[mask] = value
                rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
                boxes.append((key, [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]))
        if case == MR:
            boxes.append((2, KIDNEY))
        else:
            truth = nib.Nifti1Image(labels.T[..., None], affine)
            nib.save(truth, folder / "truth" / f"{case}.nii.gz")
        height, width = picture.shape
        lines = [
            f"{key} " + " ".join(map(str, pixels_to_yolo([box], height=height, width=width)[0]))
            for key, box in boxes
        ]
        (folder / "boxes" / f"{case}-slice0.txt").write_text("\n".join(lines) + "\n")
    (folder / "study.toml").write_text(STUDY)
    return folder


def masks_of(out, case):
    return np.asarray(nib.load(out / "masks" / "unfiltered" / f"{case}.nii.gz").dataobj)[..., 0].T


def test_real_slices_of_ct_and_mr(sam_med2d, tmp_path):
    out = tmp_path / "out"

    result = call("evaluate", sam_med2d / "study.toml", "--out", out)

    assert result.exit_code == 0, result.stderr
    scores = pd.read_csv(out / "scores.csv")
    volumes = scores[scores["slice"].isna() & (scores["set"] == "unfiltered")]
    dice = volumes.set_index(["case", "label"])["dice"].dropna()
    assert set(dice.index) == {(case, label) for case in CTS for label in ("liver", "aorta")}
    assert dice.mean() > 0.8
    kidney = np.argwhere(masks_of(out, MR) == LABELS["kidney"])
    x0, y0, x1, y1 = KIDNEY
    assert (kidney.min(axis=0) >= [y0 - 4, x0 - 4]).all()
    assert (kidney.max(axis=0) < [y1 + 4, x1 + 4]).all()
    assert len(kidney) > 0.4 * (x1 - x0) * (y1 - y0)


def test_real_slices_with_a_sam_of_random_weights(sam_med2d, sam, other_sam, tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    import segment_anything

    from samgen import weights

    monkeypatch.setitem(weights.ARCHITECTURES, (48, 3), "small")
    monkeypatch.setitem(segment_anything.sam_model_registry, "small", other_sam)
    torch.save(sam.state_dict(), tmp_path / "own.pth")
    options = ("--model", f"sam:{tmp_path / 'own.pth'}", "--device", "cpu")

    first = call("masks", sam_med2d / "study.toml", "--out", tmp_path / "a", *options)
    call("masks", sam_med2d / "study.toml", "--out", tmp_path / "b", *options)

    assert first.exit_code == 0, first.stderr
    table = pd.read_csv(tmp_path / "a" / "masks.csv")
    assert set(table["case"]) == {*CTS, MR}
    assert table["model"].unique().tolist() == ["own"]
    assert table["predicted_iou"].notna().all()
    assert len(list((tmp_path / "a" / "embeddings").glob("*.npz"))) == 3
    for case in (*CTS, MR):
        source = nib.load(sam_med2d / "images" / f"{case}.nii.gz")
        written = nib.load(tmp_path / "a" / "masks" / "unfiltered" / f"{case}.nii.gz")
        assert written.shape == source.shape
        np.testing.assert_array_equal(written.affine, source.affine)
        name = f"masks/unfiltered/{case}.uncertainty.nii.gz"
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_real_dicom_series_from_boxes_to_dice(data, tmp_path, monkeypatch):
    monkeypatch.setenv("CROWDQC_DATA", str(data))
    out = tmp_path / "out"

    result = call("evaluate", CONFIGS / "totalsegmentator_dicom.toml", "--out", out)

    assert result.exit_code == 0, result.stderr
    images = pd.read_csv(out / "images.csv")
    assert images[["height", "width", "spacing_z"]].drop_duplicates().to_numpy().tolist() == [
        [512, 512, 2.0]
    ]
    scores = pd.read_csv(out / "scores.csv")
    assert scores.loc[scores["slice"].isna(), "dice"].min() > 0.8
    folder = data / "totalsegmentator_ct" / "dicom"
    series = SimpleITK.ReadImage(SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    mask = SimpleITK.ReadImage(str(out / "masks" / "totalsegmentator-dicom.nii.gz"))
    for said in ("GetSize", "GetOrigin", "GetSpacing", "GetDirection"):
        np.testing.assert_allclose(getattr(mask, said)(), getattr(series, said)(), atol=1e-4)
    refused = call("dataset", CONFIGS / "totalsegmentator_dicom.toml", "--out", out)
    assert refused.exit_code == 2
    assert "one patient cannot be cross-validated" in refused.stderr
    write_volume(out / "image.nii.gz", folder)
    assert nib.load(out / "image.nii.gz").get_data_dtype() == np.int16
    # Nothing of what the headers say of place, scanner and protocol is written anywhere.
    private = [b"Petersgraben", b"Biograph40_mCT", b"FDG_TK_KM", b"PET/CT Onko"]
    header = next(folder.iterdir()).read_bytes()
    assert all(word in header for word in private)
    for path in filter(Path.is_file, out.rglob("*")):
        packed = path.name.endswith(".nii.gz")
        content = nib.load(path).to_bytes() if packed else path.read_bytes()
        assert not [word for word in private if word in content], path
