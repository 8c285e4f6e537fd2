"""Pictures: which slices, what is drawn where, and pixels in the orientation of the raters."""

import base64
import io
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from crowdqc.config import Config, load_config
from crowdqc.report import gather, render
from crowdqc.report.pictures import MARGIN, candidates, judged_region, pictures
from crowdqc.report.pixels import outline, uncertainty_colours
from crowdqc.report.results import read_results
from crowdqc.report.slice_files import VolumeSlices
from crowdqc.report.svg import Lane, slice_ranges, strip
from crowdqc.schema import BOX
from crowdqc.store import Store

from .results_folder import Spec, write_results

STUDY = """
[study]
name = "fixture"
[labels]
0 = {{ name = "spleen", value = 1 }}
1 = {{ name = "liver", value = 3 }}
[annotations]
format = "yolo"
path = "boxes/{{rater}}/{{case}}-{{slice}}.txt"
[images]
path = "images/{{case}}.nii"
picture = "{picture}"
window = {{ level = 50, width = 100 }}
"""


@pytest.fixture
def study(tmp_path: Path) -> tuple[Store, Config, np.ndarray]:
    """Results with one volume, its mask and its uncertainty, seen as ``rot90``."""
    file = tmp_path / "study.toml"
    file.write_text(STUDY.format(picture="rot90"))
    spec = Spec(n_cases=1, labels=("spleen", "liver"), raters=("a", "b"))
    store = write_results(tmp_path / "out", spec)
    volume = np.random.default_rng(0).uniform(0, 100, (512, 400, 24)).astype(np.float32)
    labels = np.zeros(volume.shape, dtype=np.uint8)
    labels[100:150, 230:260, :] = 3
    _save(tmp_path / "images" / "0001.nii", volume)
    _save(store.path("masks") / "0001.nii.gz", labels)
    _save(store.path("masks") / "0001.uncertainty.nii.gz", (labels > 0) * np.float32(np.log(2)))
    images = store.read("images")
    store.write("images", images.assign(path="images/0001.nii"))
    return store, load_config(file), volume


def _save(path: Path, volume: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image(volume, np.eye(4)), path)


def test_pixels_are_turned_as_the_raters_saw_them(study):
    store, config, volume = study
    slice_source = VolumeSlices(store, config, store.read("images"))

    grey = slice_source.grey("0001", 7)

    np.testing.assert_allclose(grey, np.rot90(volume[:, :, 7]) * 2.55, atol=0.51)
    rows, columns = np.nonzero(slice_source.mask("0001", 7, "liver"))
    assert (columns.min(), columns.max()) == (100, 149)
    assert (rows.min(), rows.max()) == (400 - 260, 399 - 230)
    uncertainty = slice_source.uncertainty("0001", 7)
    assert uncertainty[rows, columns].min() == pytest.approx(1)
    assert uncertainty.sum() == pytest.approx(len(rows))


@pytest.mark.parametrize("ending", ["nrrd", "mha", "NII"])
def test_volumes_of_other_endings_are_shown(study, tmp_path, ending):
    sitk = pytest.importorskip("SimpleITK")
    store, config, volume = study
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.T))
    sitk.WriteImage(image, tmp_path / f"0001.{ending.lower()}")
    (tmp_path / f"0001.{ending.lower()}").rename(tmp_path / f"0001.{ending}")
    images = store.read("images").assign(path=f"0001.{ending}")

    slice_source = VolumeSlices(store, config, images)

    assert slice_source.grey("0001", 7).shape == (400, 512)
    assert slice_source.problems == []


@pytest.mark.parametrize("dtype", ["u2", "f4", "i4"])
def test_pictures_of_more_than_8_bits_keep_their_contrast(study, tmp_path, dtype):
    store, config, _ = study
    ramp = np.linspace(0, 4000, 200 * 100).reshape(100, 200).astype(dtype)
    Image.fromarray(ramp).save(tmp_path / "0001.tif")
    images = store.read("images").assign(path="0001.tif")

    grey = VolumeSlices(store, config, images).grey("0001", 7)

    np.testing.assert_allclose(grey, ramp / ramp.max() * 255, atol=1)


def test_what_is_not_there_is_not_shown(study):
    store, config, _ = study
    slice_source = VolumeSlices(store, config, store.read("images"))

    assert slice_source.grey("0002", 7) is None
    assert slice_source.grey("0001", 99) is None
    assert slice_source.mask("0002", 7, "liver") is None
    assert slice_source.mask("0001", 7, "aorta") is None
    assert slice_source.uncertainty("0002", 7) is None
    assert slice_source.problems == []


def test_the_picture_holds_every_box(study):
    store, config, volume = study
    results = read_results(store, config)
    slice_source = VolumeSlices(store, config, results.table("images"))

    picture = pictures(results, slice_source, limit=1)[0]

    x, y, width, height = picture.view
    assert width == height
    for box in (*picture.boxes, *picture.fused):
        assert x <= box.x
        assert y <= box.y
        assert box.x + box.width <= x + width
        assert box.y + box.height <= y + height
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.image.uri.split(",")[1]))))
    part = np.rot90(volume[:, :, picture.slice])[y : y + height, x : x + width]
    np.testing.assert_allclose(pixels, part * 2.55, atol=0.51)


def test_an_unreadable_image_is_told_and_the_boxes_still_drawn(study):
    store, config, _ = study
    config.file.parent.joinpath("images/0001.nii").write_bytes(b"not an image")

    content = gather(store, config)

    section = content.section("masks")
    assert section.lead[-1].startswith("images/0001.nii: cannot be read as NIfTI")
    assert section.view[0][0].boxes
    assert str(config.file.parent) not in render(content)


def test_the_worst_masks_come_first_and_no_run_fills_the_page(store: Store):
    results = read_results(store)
    risk = results.table("masks").set_index(["case", "slice", "label"])["risk"]

    wanted = candidates(results)

    risks = [risk[c.case, c.slice, c.label] for c in wanted]
    runs = [(c.case, c.label) for c in wanted]
    assert risks == sorted(risks, reverse=True)
    assert risks[0] == risk.max()
    assert max(runs.count(run) for run in runs) == 2


def test_without_masks_the_raters_dissent_is_shown(folder: Path):
    store = write_results(folder, Spec(n_cases=2, stages=("check", "agree", "fuse")))
    section = gather(store).section("masks")

    found, _ = section.view
    assert section.title == "Worst slices"
    assert found
    assert all(picture.image.uri == "" for picture in found)
    assert "edges differ by" in found[0].why


def test_boxes_on_pixels_that_are_not_square(folder: Path):
    store = write_results(folder, Spec(n_cases=2))
    images = store.read("images")
    store.write("images", images.assign(spacing_y=images["spacing_x"] * 4))

    _, _, width, height = pictures(read_results(store))[0].view

    assert width / height == pytest.approx(4, rel=0.05)


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(0, 12), st.integers(1, 8)),
    st.tuples(st.integers(0, 12), st.integers(1, 8)),
)
def test_an_outline_stays_within_half_a_pixel(across: tuple[int, int], down: tuple[int, int]):
    mask = np.zeros((24, 24), dtype=bool)
    mask[down[0] : sum(down), across[0] : sum(across)] = True
    numbers = outline(mask).replace("M", "").replace("z", "").replace("L", " ").split()

    points = np.array(numbers, dtype=float).reshape(-1, 2)

    np.testing.assert_allclose(points.min(axis=0), [across[0], down[0]], atol=0.01)
    np.testing.assert_allclose(points.max(axis=0), [sum(across), sum(down)], atol=0.01)


def test_no_mask_has_no_outline():
    assert outline(np.zeros((4, 4), dtype=bool)) == ""


def test_what_is_sure_is_clear():
    pixels = uncertainty_colours(np.array([[0.0, 0.5, 1.0, np.nan, 2.0]]))

    assert pixels[0, :, 3].tolist() == [0, 115, 230, 0, 230]


@settings(max_examples=25, deadline=None)
@given(st.sets(st.integers(1, 28), max_size=12))
def test_a_strip_paints_each_slice_once(gaps: set[int]):
    drawn = strip([Lane("partial", 0, 29, tuple(sorted(gaps)))], 0, 29)

    painted = _slices(drawn.paths["drawn"])
    assert painted == sorted(set(range(30)) - gaps)
    assert _slices(drawn.paths["gaps"]) == sorted(gaps)


def _slices(path: str) -> list[int]:
    """Slices that the bars of a path cover."""
    found = []
    for bar in path.split("M")[1:]:
        x, width = float(bar.split(" ")[0]), float(bar.split("h")[1].split("v")[0])
        found += range(int(x), int(x + width))
    return found


def test_spans_join_neighbours():
    assert slice_ranges([9, 3, 4, 5]) == [(3, 5), (9, 9)]
    assert slice_ranges([]) == []


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, 40), min_size=4, max_size=4, unique=True),
    st.floats(0, 8) | st.just(float("nan")),
)
def test_uncertainty_is_shown_near_the_fused_box_only(corners: list[int], spread: float):
    x0, x1 = sorted(corners[:2])
    y0, y1 = sorted(corners[2:])
    spreads = {f"spread_{edge}": [spread] for edge in BOX}
    fused = pd.DataFrame({"x0": [x0], "y0": [y0], "x1": [x1], "y1": [y1], **spreads})

    inside = judged_region((64, 64), fused)

    rows, columns = np.nonzero(inside)
    assert inside[y0:y1, x0:x1].all()
    for low, high, places in ((x0, x1, columns), (y0, y1, rows)):
        room = (high - low) / 4 + MARGIN + 0.5
        assert places.min() >= low - room
        assert places.max() + 1 <= high + room


def test_what_a_rejected_rater_drew_alone_is_not_among_the_worst_slices(folder: Path):
    store = write_results(folder, Spec(n_cases=2, stages=("check", "agree", "fuse", "gate")))
    boxes, consensus = store.read("boxes"), store.read("consensus")
    place = consensus.iloc[[0]].assign(state="no_consensus", n_raters=5, spread_x0=99.0)
    key = tuple(place[["case", "slice", "label"]].iloc[0])
    here = pd.Series(
        [row == key for row in boxes[["case", "slice", "label"]].itertuples(index=False)]
    )
    store.write("boxes", boxes[~here | (boxes["rater"] == "careless")])
    store.write("consensus", pd.concat([place, consensus.iloc[1:]]))
    shown = {(c.case, c.slice, c.label) for c in candidates(read_results(store))}

    assert shown
    assert key not in shown
