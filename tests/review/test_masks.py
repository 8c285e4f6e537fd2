"""Masks are graded on the page, and the audit and the gate take the grades."""

import numpy as np

from crowdqc.decisions import mask_inputs, settled_masks
from tests.commands import call
from tests.review.conftest import write


def test_masks_are_graded_by_keys_and_the_grades_count(page, reviewed, tmp_path):
    study = write(tmp_path)
    call("run", study)
    site = reviewed(study, order="masks")
    first = site.session.item(0)

    for key, n in (("3", 1), ("1", 2)):
        page.type(key)
        page.until(f"document.getElementById('progress').textContent.startsWith('{n} of')")

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
