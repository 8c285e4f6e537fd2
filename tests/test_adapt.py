"""`crowdqc adapt` as a user runs it: what is written, refused, and never looked at."""

import json

import numpy as np
import pandas as pd
import pytest

nib = pytest.importorskip("nibabel")

from crowdqc import volumes  # noqa: E402
from crowdqc.config import load_config  # noqa: E402
from crowdqc.findings import InputError  # noqa: E402
from crowdqc.stages import gold  # noqa: E402
from crowdqc.stages.adapt import adapt  # noqa: E402
from crowdqc.stages.masks import adapted_files  # noqa: E402
from crowdqc.stages.pipeline import PIPELINE, open_run  # noqa: E402
from samgen import cards  # noqa: E402
from samgen.adapt import examples as examples_module  # noqa: E402
from samgen.adapt import run as adapt_run  # noqa: E402
from tests.commands import call  # noqa: E402
from tests.samgen.adapt.golden import ellipse, write_volume  # noqa: E402
from tests.studies import COLUMNS, TABLE, VOLUMES  # noqa: E402

CASES = "abcdeh"
TRUTH = '[truth]\npath = "gold/{case}.nii.gz"\nvalues = { liver = 5 }\n'
TEST = '[dataset]\ntest = ["h"]\n'
STEPS = '[adapt]\nsteps = 2\n[masks]\nmodel = "intensity"\nprompts = 1\n'


@pytest.fixture
def study(tmp_path):
    """Six cases with a faint organ, two raters and expert masks; the last is a test case."""
    rows = []
    (tmp_path / "gold").mkdir()
    for seed, case in enumerate(CASES):
        mask, rng = ellipse(seed), np.random.default_rng(seed)
        write_volume(tmp_path / f"{case}.nii.gz", mask, seed, contrast=8)
        truth = nib.Nifti1Image((5 * mask).astype(np.uint8), np.diag([1, 1, 2, 1]))
        nib.save(truth, tmp_path / "gold" / f"{case}.nii.gz")
        for k in range(1, mask.shape[2]):
            r, c = np.nonzero(mask[:, :, k])
            box = np.array([c.min(), r.min(), c.max() + 1, r.max() + 1])
            rows += [
                (case, k, rater, "liver", *(box + rng.normal(0, 0.4, 4))) for rater in ("AK", "BL")
            ]
    pd.DataFrame(rows, columns=COLUMNS).to_csv(tmp_path / "boxes.csv", index=False)
    return write(tmp_path, TRUTH + TEST + STEPS)


def write(folder, more):
    text = f"{TABLE}{VOLUMES}{more}[agree]\nbootstrap = 0\n"
    (folder / "study.toml").write_text(text, encoding="utf-8")
    return folder / "study.toml"


def models(study):
    return sorted((study.parent / "out" / "models").glob("*"))


def test_a_model_is_written_with_its_card_and_draws_masks(study):
    first = call("adapt", study)

    assert first.exit_code == 0, first.output
    card_file, model = models(study)
    card = json.loads(card_file.read_text())
    assert card["sha256"] == cards.sha256(model)
    assert sorted(card["train"] + card["held_out"]) == list("abcde")
    assert len(card["held_out"]) == 3
    assert card["scores"]["low"] > 0
    assert card["model"] == "intensity"
    assert {"gold/a.nii.gz", "a.nii.gz", "fused boxes"} <= card["data"].keys()
    assert not any("h.nii" in name for name in card["data"])
    assert str(model) in first.stderr

    again = call("adapt", study, "--format", "json")
    assert again.exit_code == 0
    assert [one["case"] for one in json.loads(again.stdout)] == card["held_out"]
    assert models(study) == [card_file, model]

    text = study.read_text()
    usual = call("masks", study)
    assert usual.exit_code == 0
    assert "is up to date" not in usual.stderr
    study.write_text(text.replace('model = "intensity"', f'model = "{model}"'))
    assert adapted_files(load_config(study)) == [model, card_file]
    assert call("masks", study).exit_code == 0
    masks = pd.read_csv(study.parent / "out" / "masks.csv")
    assert set(masks["model"]) == {model.stem}
    assert PIPELINE.is_current("masks", run_of(study))
    card_file.write_text(json.dumps(card | {"note": "edited"}))
    assert not PIPELINE.is_current("masks", run_of(study)), "a changed model draws other masks"


def run_of(study):
    return open_run(study, say=lambda _: None)


def test_test_cases_are_never_read(study, monkeypatch):
    """Neither truth nor image of a case that is tested on may matter: both are spoiled."""
    call("check", study)
    first = call("adapt", study)
    read = []
    for module, name in ((volumes, "read_labels"), (examples_module, "Case")):
        monkeypatch.setattr(module, name, _noting(getattr(module, name), read))
    for case in ("h.nii.gz", "gold/h.nii.gz"):
        path = study.parent / case
        image = nib.load(path)
        values = np.random.default_rng(9).permutation(np.asarray(image.dataobj).ravel())
        nib.save(nib.Nifti1Image(values.reshape(image.shape), image.affine), path)
    before = {path.name: path.read_bytes() for path in models(study)}
    for path in models(study):
        path.unlink()

    second = call("adapt", study)

    assert first.exit_code == second.exit_code == 0
    assert {path.name: path.read_bytes() for path in models(study)} == before
    assert read
    assert not any(name.startswith("h") for name in read)


def _noting(function, read):
    def call_it(what, *args, **more):
        read.append(getattr(what, "name", what))
        return function(what, *args, **more)

    return call_it


def test_a_model_that_is_not_beaten_is_not_replaced(study):
    """With the contrast of the organ high there is nothing to gain."""
    for seed, case in enumerate(CASES):
        write_volume(study.parent / f"{case}.nii.gz", ellipse(seed), seed)

    found = call("adapt", study)

    assert found.exit_code == 3
    assert "nothing is written" in found.stderr
    assert "95 % interval" in found.stderr
    assert models(study) == []


def test_a_run_that_is_stopped_leaves_no_model_and_the_next_one_finishes(study, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(cards, "write_card", _stop)
        with pytest.raises(KeyboardInterrupt):
            adapt(_fused(study))
    (left,) = (one for one in models(study) if one.suffix == ".json")
    content = left.read_bytes()
    text = study.read_text()
    study.write_text(text.replace('model = "intensity"', f'model = "{left}"'))
    refused = call("masks", study)
    assert refused.exit_code == 2
    assert "without its card" in refused.stderr

    study.write_text(text)
    assert call("adapt", study).exit_code == 0
    assert left in models(study)
    assert len(models(study)) == 2
    assert left.read_bytes() == content


def test_a_run_that_is_stopped_in_training_goes_on_and_ends_with_the_same_bytes(study, monkeypatch):
    assert call("adapt", study).exit_code == 0
    expected = {one.name: one.read_bytes() for one in models(study)}
    for one in models(study):
        one.unlink()
    scored, scores = [], adapt_run._scores
    with monkeypatch.context() as patch:
        patch.setattr(
            adapt_run,
            "_scores",
            lambda *given: scored.append(1) or (_stop() if len(scored) == 3 else scores(*given)),
        )
        with pytest.raises(KeyboardInterrupt):
            adapt(_fused(study))
    (left,) = study.parent.glob("out/models/*.training")
    with monkeypatch.context() as patch:
        patch.setattr(adapt_run, "_scores", lambda *given: scored.append(1) or scores(*given))
        assert call("adapt", study).exit_code == 0

    assert {one.name: one.read_bytes() for one in models(study)} == expected
    assert not left.exists()
    steps = len(json.loads(expected[next(n for n in expected if "card" in n)])["path"])
    assert len(scored) == steps + 1  # of the third, which was stopped, once more


def _stop(*_):
    raise KeyboardInterrupt


def _fused(study):
    run = run_of(study)
    run.store.claim()
    PIPELINE.ensure("fuse", run)
    return run


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (TEST, ["[truth] path has 0 cases", "at least 4 patients"]),
        (TRUTH + f"[dataset]\ntest = {list(CASES)}\n", ["6 cases, and all are in [dataset] test"]),
        (TRUTH + f"[dataset]\ntest = {list(CASES[3:])}\n", ["needs 4 patients", "got 3"]),
        (TRUTH + TEST + '[masks]\nmode = "paper"\n', ["mode = 'best'"]),
        (TRUTH + TEST + '[adapt]\nmethod = "lora"\n', ["no tensors"]),
        (TRUTH.replace("5", "4") + TEST, ["holds the values [5]", "[truth] values"]),
        (TRUTH + '[dataset]\ntest = ["h"]\npatient = "^(x)"\n', ["does not fit [dataset] patient"]),
    ],
)
def test_what_cannot_be_learned_from_is_refused_and_said(study, more, words):
    found = call("adapt", write(study.parent, more))

    assert found.exit_code == 2, found.output
    assert all(word in " ".join(found.stderr.split()) for word in words), found.stderr
    assert models(study) == []


def test_truth_off_the_grid_of_its_image_is_left_out(study):
    truth = nib.Nifti1Image(np.ones((5, 5, 5), np.uint8), np.eye(4))
    nib.save(truth, study.parent / "gold" / "b.nii.gz")

    found = call("adapt", study)

    assert "b is left out" in found.stderr
    assert "b" not in pd.read_json(models(study)[0], typ="series")["train"]


def test_masks_that_were_graded_good_are_learned_from_and_not_compared_with(study):
    for case in "de":
        (study.parent / "gold" / f"{case}.nii.gz").unlink()
    call("masks", study)
    rows = [
        f"grade,mask,{c},{k},liver,dr x,{g}"
        for c, k, g in (("d", 1, "good"), ("d", 2, "bad"), ("e", 1, "usable"), ("h", 1, "good"))
    ]
    head = "decision,unit,case,slice,label,reviewer,grade"
    (study.parent / "decisions.csv").write_text("\n".join([head, *rows]) + "\n")

    cases, graded = gold.gold_cases(_fused(study))

    assert graded == ["d"]
    assert {one.name: one.places for one in cases}["d"] == {(1, "liver")}
    assert [one.name for one in cases] == ["a", "b", "c", "d"]
    result = adapt(_fused(study))
    assert "d" not in result.table["case"].tolist()


def test_a_second_round_holds_out_nobody_who_was_learned_from(study):
    call("adapt", study)
    model = next(path for path in models(study) if not path.name.endswith(".card.json"))
    card = json.loads(cards.card_path(model).read_text())
    for case in card["held_out"]:
        assert case not in card["train"]
    cards.write_card(model, card | {"train": ["a", "b", "c"]})

    with pytest.raises(InputError, match="3 of whom the model has learned from before"):
        adapt(open_run(study, changes={"masks": {"model": str(model)}}, say=lambda _: None))
