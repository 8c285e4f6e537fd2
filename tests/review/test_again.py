"""What was decided on other inputs, or differently by two reviewers, is asked again, and first."""

import nibabel as nib
import numpy as np
import pandas as pd

from crowdqc.review.open import open_review
from crowdqc.stages.pipeline import open_run
from tests.commands import call
from tests.review.conftest import write


def session_of(study, reviewer="ann", order="disagreement"):
    run = open_run(study, say=lambda _: None)
    return open_review(run, order=order, rater=None, reviewer=reviewer)


def decide(session, number, **entry):
    item = session.item(number)
    session.decide(number, {"seen": item["seen"], "inputs": item["inputs"], **entry})
    return item


def on_slice(session, k):
    return next(n for n in range(len(session.queue)) if session.item(n)["slice"] == k)


def test_a_decision_on_boxes_that_have_changed_is_asked_again_until_it_is_taken(tmp_path):
    study = write(tmp_path, images=False)
    session = session_of(study)
    number = on_slice(session, 2)
    item = decide(session, number, decision="accept", box=session.item(number)["box"])
    boxes = pd.read_csv(tmp_path / "boxes.csv")
    boxes.loc[(boxes["slice"] == 2) & (boxes["rater"] == "a"), "x0"] += 3
    boxes.to_csv(tmp_path / "boxes.csv", index=False)

    again = session_of(study)

    assert again.first_open() == 0
    assert (again.item(0)["slice"], again.item(0)["decided"]) == (2, None)
    assert again.item(0)["why"].startswith("ann: decided on other boxes")
    decide(again, 0, decision="accept", box=item["box"])
    assert again.first_open() == 1
    assert session_of(study).progress()["done"] == 1


def test_what_two_reviewers_decided_differently_is_asked_of_both(tmp_path):
    study = write(tmp_path, images=False)
    ann, bob = session_of(study), session_of(study, "bob")
    decide(ann, on_slice(ann, 2), decision="nothing")
    number = on_slice(bob, 2)
    decide(bob, number, decision="accept", box=bob.item(number)["box"])

    for reviewer in ("ann", "bob"):
        again = session_of(study, reviewer)
        assert (again.first_open(), again.item(0)["slice"]) == (0, 2)
        assert "decided differently" in again.item(0)["why"]

    decide(again, 0, decision="nothing")  # bob sees it as ann does
    assert session_of(study).item(0)["why"].count("differently") == 0


def test_a_grade_of_a_box_that_has_changed_is_asked_again_by_an_audit(tmp_path):
    study = write(tmp_path, images=False)
    call("audit", study, "--boxes")
    session = session_of(study, order="audit")
    first = decide(session, 0, decision="grade", grade="good")
    second = decide(session, 1, decision="grade", grade="good")
    assert session_of(study, order="audit").first_open() == 2  # nothing is asked twice
    boxes = pd.read_csv(tmp_path / "boxes.csv")
    boxes.loc[(boxes["slice"] == first["slice"]) & (boxes["rater"] == "a"), "x0"] += 3
    boxes.to_csv(tmp_path / "boxes.csv", index=False)
    call("audit", study, "--boxes")

    again = session_of(study, order="audit")

    items = [again.item(k) for k in range(len(again.queue))]
    asked = {one["slice"] for one in items if one["decided"] is None}
    assert first["slice"] in asked
    assert second["slice"] not in asked  # this grade stands


def test_a_grade_of_a_mask_that_has_changed_is_asked_again(tmp_path):
    study = write(tmp_path)
    call("run", study)
    session = session_of(study, order="masks")
    item = decide(session, 3, decision="grade", grade="good")
    file = study.parent / "out" / "masks" / "1.nii.gz"
    labels = nib.load(file)
    pixels = np.asarray(labels.dataobj).copy()
    pixels[:, :, item["slice"]] = np.roll(pixels[:, :, item["slice"]], 3, axis=0)
    nib.save(nib.Nifti1Image(pixels, labels.affine, labels.header), file)

    again = session_of(study, order="masks")

    assert again.first_open() == 0
    assert (again.item(0)["slice"], again.item(0)["decided"]) == (item["slice"], None)
