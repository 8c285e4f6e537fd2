"""What is exported, read again by programs of others."""

import hashlib
import itertools
import json
import re
import warnings

import numpy as np
import pandas as pd
import pydicom
import pytest
import SimpleITK

from crowdqc.config import Code, Label, Publication
from crowdqc.exports import Archive, MaskVolume, export
from crowdqc.exports.archive import probability_of
from crowdqc.findings import InputError
from crowdqc.volumes import read_labels, write_labels, write_map
from tests.crowdqc.dicoms import write_series
from tests.crowdqc.volumes.test_enhanced import enhanced
from tests.niftis import save

LABELS = (
    Label(name="liver", value=3),
    Label(name="left_kidney", value=1, code=Code(scheme="SCT", value="18639004", meaning="Left")),
    Label(name="thing_one", value=7),
)
SHAPE = (9, 8, 6)
AXES = {
    "axial": ((1, 0, 0), (0, 1, 0)),
    "prone": ((-1, 0, 0), (0, -1, 0)),
    "coronal": ((1, 0, 0), (0, 0, -1)),
    "sagittal": ((0, 1, 0), (0, 0, -1)),
    "oblique": ((0.8, 0.6, 0), (-0.6, 0.8, 0)),
}


def labels(seed=0, shape=SHAPE):
    rng = np.random.default_rng(seed)
    return rng.choice([0, 1, 3, 7], size=shape, p=[0.7, 0.1, 0.1, 0.1]).astype(np.uint8)


def drawn(folder, image, values, case="p-01"):
    """A case whose masks and map are written beside its volume."""
    (folder / "masks").mkdir(exist_ok=True)
    mask, uncertainty = folder / "masks" / f"{case}.nii.gz", folder / "masks" / f"{case}.u.nii.gz"
    write_labels(mask, values, like=image)
    entropy = np.random.default_rng(1).uniform(0, np.log(2), values.shape)
    write_map(uncertainty, entropy, like=image)
    return MaskVolume(case, image, mask, uncertainty)


def archive(volumes=(), **more):
    return Archive(name="small", version="0.1.0", labels=LABELS, volumes=tuple(volumes), **more)


@pytest.fixture
def nifti(tmp_path):
    affine = np.array([[-2.0, 0, 0, 5], [0, 1.5, 0, -7], [0, 0, 3, 11], [0, 0, 0, 1]])
    image = save(tmp_path / "p-01.nii.gz", np.zeros(SHAPE), affine=affine)
    return drawn(tmp_path, image, labels())


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("target", ["dicom-seg", "dicom-seg-fractional"])
def test_a_dicom_segmentation_has_every_voxel_at_its_place(tmp_path, axes, target):
    pytest.importorskip("highdicom")
    values = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    uids = {"0008|0016": "1.2.840.10008.5.1.4.1.1.2", "0020|000d": "1.2.3", "0020|0052": "1.2.9"}
    write_series(
        tmp_path / "ct",
        values,
        axes=AXES[axes],
        fields=uids,
        fields_of=lambda k: {"0008|0018": f"1.2.3.{k}"},
    )
    volume = drawn(tmp_path, tmp_path / "ct", labels())

    found = export(archive([volume]), target, tmp_path / "new")

    told = "\n".join(finding.message for finding in found)
    assert "thing_one" in told
    assert "liver" not in told
    assert "left_kidney" not in told
    assert_equal_to_nifti(tmp_path / "new" / "p-01.seg.dcm", volume, target)


@pytest.mark.parametrize("target", ["dicom-seg", "dicom-seg-fractional"])
def test_a_segmentation_of_frames_refers_to_each(tmp_path, target):
    enhanced(tmp_path / "mr.dcm")  # whose frames lie in no order
    values = labels(shape=(4, 5, 6))
    volume = drawn(tmp_path, tmp_path / "mr.dcm", values)

    export(archive([volume]), target, tmp_path / "new")

    assert_equal_to_nifti(tmp_path / "new" / "p-01.seg.dcm", volume, target)


def test_a_resampled_series_has_no_segmentation_but_other_targets(tmp_path):
    series = write_series(tmp_path / "ct", np.zeros(SHAPE, np.int16), skip=[2])
    (tmp_path / "masks").mkdir()
    mask, uncertainty = tmp_path / "masks" / "a.nii.gz", tmp_path / "masks" / "a.u.nii.gz"
    write_labels(mask, labels(), like=series, resample=True)
    write_map(uncertainty, np.zeros(SHAPE), like=series, resample=True)
    whole = archive([MaskVolume("a", series, mask, uncertainty, resample=True)])

    with pytest.raises(InputError, match="was resampled"):
        export(whole, "dicom-seg", tmp_path / "seg")
    for target in ("nrrd", "bids"):
        export(whole, target, tmp_path / target)


def assert_equal_to_nifti(path, volume, target):
    """The file as highdicom reads it, against the masks as SimpleITK reads them, in mm."""
    hd = pytest.importorskip("highdicom")
    mask = SimpleITK.ReadImage(str(volume.mask))
    seg = hd.seg.segread(path)
    values = {label.name: label.value for label in LABELS}
    wanted = volume.probabilities(values)
    drawn_labels = SimpleITK.GetArrayFromImage(mask).transpose(2, 1, 0)
    places = np.indices(mask.GetSize()).reshape(3, -1).T
    step = np.reshape(mask.GetDirection(), (3, 3)) * mask.GetSpacing()
    names = {n: seg.get_segment_description(n).segment_label for n in seg.segment_numbers}
    assert set(names.values()) == {
        n for n, value in values.items() if (drawn_labels == value).any()
    }
    for number, name in names.items():
        read = seg.get_volume(segment_numbers=[number], allow_missing_positions=True)
        at = read.map_reference_to_indices(places @ step.T + mask.GetOrigin())
        at = np.rint(at).astype(int)
        inside = ((at >= 0) & (at < read.spatial_shape)).all(axis=1)
        found = np.zeros(len(places))
        found[inside] = read.array[..., 0][tuple(at[inside].T)]
        if target == "dicom-seg":
            np.testing.assert_array_equal(found, (drawn_labels == values[name]).ravel())
        else:
            np.testing.assert_allclose(found, wanted[name].ravel(), atol=0.5 / 255 + 1e-6)


def test_the_real_series_comes_back_voxel_by_voxel(tmp_path, data):
    pytest.importorskip("highdicom")
    series, truth = (data / "totalsegmentator_ct" / name for name in ("dicom", "dicom_seg.nii.gz"))
    values, _ = read_labels(truth)
    kept = np.where(np.isin(values, [1, 3, 7]), values, 0).astype(np.uint8)
    volume = drawn(tmp_path, series, kept, case="ct")

    export(archive([volume]), "dicom-seg", tmp_path / "new")
    export(archive([volume]), "dicom-seg", tmp_path / "again")

    path = tmp_path / "new" / "ct.seg.dcm"
    assert path.read_bytes() == (tmp_path / "again" / "ct.seg.dcm").read_bytes()
    assert_equal_to_nifti(path, volume, "dicom-seg")
    (of_series,) = pydicom.dcmread(path).ReferencedSeriesSequence
    slices = {str(one.ReferencedSOPInstanceUID) for one in of_series.ReferencedInstanceSequence}
    files = [pydicom.dcmread(file, specific_tags=["Rows"]) for file in series.iterdir()]
    assert slices <= {str(file.file_meta.MediaStorageSOPInstanceUID) for file in files}


def test_nrrd_is_read_by_simpleitk_with_the_names_of_labels(tmp_path, nifti):
    export(archive([nifti]), "nrrd", tmp_path / "new")

    read = SimpleITK.ReadImage(str(tmp_path / "new" / "p-01.seg.nrrd"))
    mask = SimpleITK.ReadImage(str(nifti.mask))
    np.testing.assert_array_equal(*(SimpleITK.GetArrayFromImage(x) for x in (read, mask)))
    for part in ("GetOrigin", "GetSpacing", "GetDirection"):
        np.testing.assert_allclose(getattr(read, part)(), getattr(mask, part)(), atol=1e-6)
    assert read.GetMetaData("Segment0_Name") == "liver"
    assert read.GetMetaData("Segment0_LabelValue") == "3"
    assert "SCT^18639004^Left" in read.GetMetaData("Segment1_Tags")


def test_bids_has_masks_probabilities_and_sidecars(tmp_path, nifti):
    found = export(archive([nifti]), "bids", tmp_path / "new")

    new = tmp_path / "new"
    files = sorted(str(path.relative_to(new)) for path in new.rglob("*") if path.is_file())
    stem = "sub-p01/anat/sub-p01"
    assert files == sorted(
        ["dataset_description.json", "participants.tsv"]
        + [f"{stem}_dseg.{end}" for end in ("json", "nii.gz", "tsv")]
        + [
            f"{stem}_label-{label}_probseg.{end}"
            for label, end in itertools.product(
                ("liver", "leftkidney", "thingone"), ("json", "nii.gz")
            )
        ]
    )
    assert (new / f"{stem}_dseg.nii.gz").read_bytes() == nifti.mask.read_bytes()
    about = json.loads((new / "dataset_description.json").read_text(encoding="utf-8"))
    assert about["DatasetType"] == "derivative"
    assert about["GeneratedBy"][0]["Name"] == "crowdqc"
    people = pd.read_csv(new / "participants.tsv", sep="\t")
    assert people.to_dict("records") == [{"participant_id": "sub-p01", "case": "p-01"}]
    assert any("p-01 is sub-p01" in finding.message for finding in found)


def test_bids_names_fit_the_rules_of_the_schema(tmp_path, nifti):
    """Against the machine-readable schema of BIDS: entities, their order, suffixes, endings."""
    schema = pytest.importorskip("bidsschematools.schema").load_schema()
    export(archive([nifti]), "bids", tmp_path / "new")

    rules = {
        suffix: rule
        for name, rule in schema.rules.files.deriv.imaging.items()
        if name in {"anat_discrete_segmentation", "anat_probabilistic_segmentation"}
        for suffix in rule.suffixes
    }
    short = {entity: schema.objects.entities[entity].name for entity in schema.rules.entities}
    for path in (tmp_path / "new" / "sub-p01").rglob("*_*"):
        stem, _, ending = path.name.partition(".")
        *entities, suffix = stem.split("_")
        rule, keys = rules[suffix], [entity.split("-")[0] for entity in entities]
        assert all(re.fullmatch("[a-z]+-[0-9a-zA-Z]+", entity) for entity in entities)
        assert keys == [name for name in short.values() if name in keys]
        assert set(keys) <= {short[entity] for entity in rule.entities}
        assert f".{ending}" in rule.extensions
        assert path.parent.name in rule.datatypes


def test_cases_that_bids_cannot_tell_apart_are_refused(tmp_path, nifti):
    twins = [nifti, MaskVolume("p_01", nifti.image, nifti.mask, nifti.uncertainty)]
    with pytest.raises(InputError, match=r"p_01.*letters and digits.*p-01"):
        export(archive(twins), "bids", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def tables():
    edges = {"x0": [1.0, 5.5], "y0": [2.0, 3.0], "x1": [6.0, 9.0], "y1": [7.0, 8.0]}
    places = {"case": "a", "slice": [0, 1]}
    images = pd.DataFrame(
        {**places, "height": 20, "width": 30, "spacing_x": np.nan, "spacing_y": np.nan}
    ).assign(spacing_z=np.nan, path=["pictures/a0.png", ""])
    boxes = pd.DataFrame({"box": [0, 1], **places, "rater": ["Äb/1", "consensus"]}).assign(
        label="liver", **edges, source="x.csv"
    )
    consensus = pd.DataFrame({**places, "label": "liver", **edges, "support": [2, 1]}).assign(
        score=[0.9, np.nan], state=["agreed", "single"]
    )
    readings = pd.DataFrame({**places, "rater": ["Äb/1", "consensus"], "labels": "liver"}).assign(
        state="boxed", time="", seconds=np.nan
    )
    raters = pd.DataFrame({"rater": ["Äb/1", "consensus"], "agreement": [0.5, 0.75]})
    return {
        "images": images,
        "boxes": boxes,
        "consensus": consensus,
        "readings": readings,
        "raters": raters,
    }


def test_fiftyone_gets_one_coco_file_for_each_rater_and_one_for_the_fused_boxes(tmp_path):
    export(archive(tables=tables()), "fiftyone", tmp_path / "new")

    fields = pd.read_csv(tmp_path / "new" / "fields.csv").set_index("source")["field"]
    assert fields.to_dict() == {"Äb/1": "_b_1", "consensus": "consensus"} or len(set(fields)) == 3
    content = json.loads(
        (tmp_path / "new" / "labels" / "consensus.json").read_text(encoding="utf-8")
    )
    assert [image["file_name"] for image in content["images"]] == [
        "pictures/a0.png",
        "a-slice0001.png",
    ]
    assert [one["bbox"] for one in content["annotations"]] == [[1, 2, 5, 5], [5.5, 3, 3.5, 5]]
    assert content["annotations"][0]["score"] == 0.9
    assert "score" not in content["annotations"][1]


def test_croissant_validates_and_its_records_are_the_tables(tmp_path):
    mlc = pytest.importorskip("mlcroissant")
    said = Publication(
        license="https://creativecommons.org/licenses/by/4.0/",
        url="https://example.org/small",
        cite="A reference",
        date="2026-01-31",
        creators=["A group"],
        platform="OpenLabeling",
    )

    export(archive(tables=tables(), publication=said), "croissant", tmp_path / "new")

    content = json.loads((tmp_path / "new" / "croissant.json").read_text(encoding="utf-8"))
    for file in content["distribution"]:
        data = (tmp_path / "new" / file["contentUrl"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == file["sha256"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own use of rdflib
        dataset = mlc.Dataset(jsonld=tmp_path / "new" / "croissant.json")
    assert not dataset.metadata.ctx.issues.errors
    records = list(dataset.records("consensus"))
    assert [record["consensus/x0"] for record in records] == [1.0, 5.5]
    assert content["rai:annotationsPerItem"].startswith("1 raters a slice")
    assert "from 0.500 to 0.750" in content["rai:dataAnnotationAnalysis"]


@pytest.mark.parametrize("p", [0.5, 0.6, 0.9, 0.999, 1.0])
def test_a_probability_is_found_from_its_entropy(p):
    entropy = -sum(q * np.log(q) for q in (p, 1 - p) if q > 0)
    assert probability_of(np.array([entropy]))[0] == pytest.approx(p, abs=1e-4)


def test_what_is_missing_is_named(tmp_path, nifti):
    with pytest.raises(InputError, match="no masks to export"):
        export(archive(), "nrrd", tmp_path / "new")
    with pytest.raises(InputError, match="no DICOM series"):
        export(archive([nifti]), "dicom-seg", tmp_path / "new")
    with pytest.raises(InputError, match=r"must be one of.*nrrd"):
        export(archive(), "nrd", tmp_path / "new")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises(InputError, match="not an empty folder"):
        export(archive([nifti]), "nrrd", tmp_path / "full")
    other = save(tmp_path / "other.nii.gz", np.zeros((3, 3, 3)))
    moved = MaskVolume("p", other, nifti.mask, nifti.uncertainty)
    with pytest.raises(InputError, match="not on the grid"):
        export(archive([moved]), "nrrd", tmp_path / "new")
