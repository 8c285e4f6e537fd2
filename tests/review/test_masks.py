"""Masks are graded on the page, and the audit and the gate take the grades."""

import io

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from crowdqc.decisions import mask_inputs, settled_masks
from tests.commands import call
from tests.review.conftest import CANVAS, canvas, press, write


def test_masks_are_graded_by_keys_and_the_grades_count(page, reviewed, tmp_path):
    study = write(tmp_path)
    call("run", study)
    site = reviewed(study, order="masks")
    first = site.session.item(0)

    for key, n in (("3", 1), ("1", 2)):
        press(page, key, n)

    table = site.decisions
    assert table["decision"].tolist() == ["grade", "grade"]
    assert table["grade"].tolist() == ["bad", "good"]
    assert first["outline"].startswith("M")
    assert len(first["inputs"]) == 16
    hashes = dict(
        zip(
            zip(table["case"], table["slice"], table["label"], strict=True),
            table["inputs"],
            strict=True,
        )
    )
    assert set(settled_masks(table, hashes.get)["state"]) == {"settled"}
    shown = call("gate", study, "--format", "json")
    manifest = (study.parent / "out" / "manifest.json").read_text(encoding="utf-8")
    assert shown.exit_code in {0, 3}
    assert "graded_bad" in manifest


def test_the_hash_of_a_mask_is_that_of_its_pixels(page, reviewed, tmp_path):
    study = write(tmp_path)
    call("run", study)
    site = reviewed(study, order="masks")
    case, k, label = site.session.queue[["case", "slice", "label"]].iloc[0]

    mask = site.session.view._files.mask(case, k, label)

    assert site.session.item(0)["inputs"] == mask_inputs(np.asarray(mask))


def test_uncertainty_is_shown_near_the_fused_boxes_only(page, reviewed, tmp_path):
    study = write(tmp_path)
    call("run", study)
    file = study.parent / "out" / "masks" / "1.uncertainty.nii.gz"
    volume = nib.load(file)
    full = np.full(volume.shape, np.log(2), np.float32)
    nib.save(nib.Nifti1Image(full, volume.affine), file)
    site = reviewed(study, order="masks")
    item = site.session.item(0)

    picture = Image.open(io.BytesIO(site.session.view.uncertainty("1", item["slice"], "liver")))
    clear = np.asarray(picture)[..., 3] == 0
    x0, y0, x1, y1 = np.rint(item["box"]).astype(int)
    assert not clear[y0:y1, x0:x1].any()
    assert clear[: y0 - 20].all()
    before = canvas(page)
    page.type("o")
    page.until(f"({CANVAS}) !== {before!r}")
    assert page.run("document.querySelector('[data-layer=uncertainty]').checked")
    page.type("o")
    page.until(f"({CANVAS}) === {before!r}")
    assert page.logged == []


def test_where_nothing_is_known_of_uncertainty_it_is_not_offered(page, reviewed, tmp_path):
    reviewed(write(tmp_path))

    page.type("o")

    assert page.run("document.querySelector('[data-layer=uncertainty]').parentElement.hidden")
    assert not page.run("document.querySelector('[data-layer=uncertainty]').checked")


def test_a_mask_is_usable_and_its_corrected_box_measures_dice(page, reviewed, tmp_path):
    study = write(tmp_path)
    call("run", study)
    site = reviewed(study, order="masks")
    x0, y0, x1, y1 = site.session.item(0)["box"]

    page.type("e")
    page.type("ArrowRight", modifiers=8)
    press(page, "2", 1)

    row = site.decisions.iloc[0]
    area, more = (x1 - x0) * (y1 - y0), (x1 + 1 - x0) * (y1 - y0)
    assert (row["decision"], row["grade"]) == ("grade", "usable")
    assert row["dice"] == pytest.approx(2 * area / (area + more), abs=0.01)
