"""`crowdqc train`: what it asks of nnU-Net, what it prints, and how it refuses."""

import json
import shlex
import shutil

import numpy as np
import pandas as pd
import pytest

from crowdqc.stages.pipeline import PIPELINE, open_run
from crowdqc.store import Store
from crowdqc.trust import seal
from tests.commands import call
from tests.niftis import save
from train import experiment
from train.dataset import DatasetPlan, TrainingCase, build_dataset
from train.environment import Folders
from train.splits import make_splits

LABELS = {"spleen": 1, "liver": 5}
STUDY = """
[study]
name = "tiny"
[labels]
0 = { name = "spleen", value = 1 }
1 = { name = "liver", value = 5 }
[annotations]
format = "yolo"
path = "boxes/{rater}/{case}-{slice}.txt"
[images]
path = "i/{case}.nii.gz"
[truth]
path = "t/{case}.nii.gz"
[dataset]
test = ["c4", "c5"]
[train]
device = "cpu"
"""
CASES = [f"c{number}" for number in range(6)]


MILD = """
severities = { preflight-empty-mask = "note" }
[[rules]]
scope = "case"
measure = "n_gaps"
op = ">"
limit = 99
severity = "review"
because = "much is missing"
"""


def read_empty_masks(study):
    found = Store(study.parent / "out", "tiny").read_findings("train")
    return [one for one in found if one.check == "preflight-empty-mask"]


@pytest.fixture
def study(tmp_path):
    """A study with two datasets of four cases each, and two test cases."""
    (tmp_path / "study.toml").write_text(STUDY)
    store = Store(tmp_path / "out", "tiny")
    store.write_text("claim", "")
    rng = np.random.default_rng(0)
    mask = np.zeros((6, 6, 4))
    mask[0:2], mask[4:] = 1, 5
    training = [
        TrainingCase(
            case=case,
            image=save(tmp_path / "i" / f"{case}.nii.gz", rng.integers(0, 255, mask.shape)),
            mask=save(tmp_path / "t" / f"{case}.nii.gz", mask),
        )
        for case in CASES
    ]
    for number, name in enumerate(("unfiltered", "filtered")):
        plan = DatasetPlan(
            number=501 + number,
            name=f"tiny-{name}",
            labels=LABELS,
            training=training[:4],
            test={case.case: case.image for case in training[4:]},
        )
        folder = build_dataset(Folders(store.folder).raw, plan).folder
        splits = make_splits(CASES[:4], folds=2 + number)
        (folder / "splits_final.json").write_text(json.dumps(splits))
    store.set_stamp("dataset", "", ["nnUNet_raw"])
    store.release()
    return tmp_path / "study.toml"


@pytest.fixture
def nnunet(monkeypatch):
    """nnU-Net's place taken by notes of what it was asked for."""
    asked = []

    def prepare(folders, dataset, *, settings, seed):
        asked.append(("prepare", dataset, settings.epochs, seed))
        return True

    def train_fold(folders, dataset, *, fold, settings, gpus):
        asked.append(("train", dataset, fold, gpus))
        model = experiment.model_folder(folders, dataset, settings) / f"fold_{fold}" / "validation"
        model.mkdir(parents=True, exist_ok=True)
        (model / "summary.json").write_text('{"foreground_mean": {"Dice": 0.5}}')
        return True

    def predict(folders, dataset, *, output, settings):
        asked.append(("predict", dataset, output.name))
        found = np.zeros((6, 6, 4))
        found[0:2] = 1
        found[4:] = 2 if output.name == "filtered" else 0
        for case in ("c4", "c5"):
            save(output / f"{case}.nii.gz", found)

    for name, fake in (("prepare", prepare), ("train_fold", train_fold), ("predict", predict)):
        monkeypatch.setattr(experiment, name, fake)
    return asked


def test_everything_is_trained_and_tested(study, nnunet):
    result = call("train", study, "--epochs", 7)

    assert result.exit_code == 0, result.output
    names = ["Dataset501_tiny-unfiltered", "Dataset502_tiny-filtered"]
    assert nnunet == [
        ("prepare", names[0], 7, 0),
        ("prepare", names[1], 7, 0),
        *[("train", names[0], fold, 1) for fold in (0, 1)],
        *[("train", names[1], fold, 1) for fold in (0, 1, 2)],
        ("predict", names[0], "unfiltered"),
        ("predict", names[1], "filtered"),
    ]
    assert "Trained: 5 folds" in result.stderr
    # The unfiltered model misses the liver: (1 + 0) / 2.
    assert "nnunet-unfiltered 0.500, nnunet-filtered 1.000" in result.stderr
    out = study.parent / "out"
    scores = pd.read_csv(out / "model_scores.csv")
    assert scores["set"].unique().tolist() == ["nnunet-unfiltered", "nnunet-filtered"]
    comparison = pd.read_csv(out / "model_comparison.csv")
    assert comparison.set_index("label").loc["liver", "difference"] == 1.0
    assert comparison["a"].unique().tolist() == ["nnunet-filtered"]


def test_nothing_is_trained_on_a_dataset_that_was_edited(study, nnunet):
    mask = next((study.parent / "out" / "nnUNet_raw").rglob("labelsTr/*.nii.gz"))
    mask.write_bytes(mask.read_bytes() + b"\0")

    result = call("train", study)

    assert result.exit_code == 2
    assert "what 'crowdqc dataset' wrote" in result.stderr
    assert nnunet == []


def licensed(study, licence):
    """As if the masks of the set `filtered` had been drawn with weights of this licence."""
    out = study.parent / "out"
    path = next(out.glob("nnUNet_raw/*-filtered/dataset.json"))
    record = json.loads(path.read_text(encoding="utf-8"))
    record["crowdqc"]["licences"] = ["Apache-2.0", licence]
    path.write_text(json.dumps(record), encoding="utf-8")
    store = Store(out, "tiny")
    store.set_stamp("dataset", "", ["nnUNet_raw"])
    store.release()


@pytest.mark.parametrize("action", [[], ["--prepare"], ["--print"], ["--merge"], ["--test"]])
def test_a_dataset_whose_licence_is_not_allowed_any_more_is_refused(study, nnunet, action):
    licensed(study, "CC-BY-SA-4.0")

    result = call("train", study, *action)

    assert result.exit_code == 2
    for words in (
        "Dataset502_tiny-filtered",
        "CC-BY-SA-4.0",
        "[masks] allow_licences",
        "study.toml",
    ):
        assert words in result.stderr
    assert "Apache-2.0" not in result.stderr
    assert nnunet == []


def test_other_datasets_are_trained_and_the_licence_may_be_allowed(study, nnunet):
    licensed(study, "CC-BY-SA-4.0")

    assert call("train", study, "--set", "unfiltered", "--prepare").exit_code == 0
    allowed = '[masks]\nallow_licences = ["Apache-2.0", "CC-BY-SA-4.0"]\n'
    study.write_text(study.read_text() + allowed)
    assert call("train", study, "--prepare").exit_code == 0


def test_a_check_finds_a_licence_that_is_not_allowed(study):
    licensed(study, "CC-BY-SA-4.0")

    result = call("train", study, "--check")

    assert result.exit_code == 3
    found = Store(study.parent / "out", "tiny").read_findings("train")
    (one,) = [finding for finding in found if finding.check == "preflight-licence"]
    assert "CC-BY-SA-4.0" in one.message


@pytest.mark.parametrize("sealed", [True, False])
def test_scores_of_a_model_from_elsewhere_are_called_that(study, nnunet, sealed):
    call("train", study)
    for fold in (study.parent / "out" / "nnUNet_results").glob("*/*/fold_*"):
        (fold / "checkpoint_final.pth").write_bytes(b"weights")
        if sealed:
            seal(fold / "checkpoint_final.pth")

    result = call("train", study, "--test")

    assert ("train" in Store(study.parent / "out", "tiny").untrusted()) is not sealed
    assert ("Results of train were not made by you" in result.stderr) is not sealed
    trusted = call("train", study, "--test", "--trust-results")
    assert "were not made by you" not in trusted.stderr


def test_scores_that_were_edited_are_marked_on_the_page(study, nnunet):
    call("train", study)
    scores = study.parent / "out" / "model_scores.csv"
    store = Store(study.parent / "out", "tiny")
    assert not store.edited("train")
    scores.write_text(scores.read_text(encoding="utf-8").replace("0.0", "1.0"), encoding="utf-8")

    drawn = study.parent / "boxes" / "a" / "c0-0.txt"
    drawn.parent.mkdir(parents=True)
    drawn.touch()
    assert "train" in PIPELINE.stale(open_run(study, say=print))


def test_folds_are_trained_on_a_cluster(study, nnunet, nodes, monkeypatch):
    cloudpickle = pytest.importorskip("ray.cloudpickle")
    monkeypatch.setenv("RAY_ADDRESS", nodes.address)
    cloudpickle.register_pickle_by_value(experiment)  # with what stands in for nnU-Net
    try:
        result = call("train", study, "--engine", "ray", "--device", "cpu", "--format", "json")
    finally:
        cloudpickle.unregister_pickle_by_value(experiment)

    assert result.exit_code == 0, result.output
    assert [(fold["set"], fold["fold"], fold["state"]) for fold in json.loads(result.stdout)] == [
        *[("unfiltered", fold, "trained") for fold in "01"],
        *[("filtered", fold, "trained") for fold in "012"],
    ]
    assert [asked[0] for asked in nnunet] == ["prepare", "prepare", "predict", "predict"]
    assert "Dataset502_tiny-filtered, fold 2: trained" in result.stderr


def test_a_cluster_without_gpus_trains_nothing_that_needs_one(study, nnunet, nodes, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", nodes.address)

    result = call("train", study, "--engine", "ray", "--gpus", 2, "--device", "cuda")

    assert result.exit_code == 2
    assert "no machine of it has 1 cores and 2 GPUs" in result.stderr


def test_one_fold_of_one_set_is_trained_and_not_tested(study, nnunet):
    result = call("train", study, "--set", "filtered", "--fold", 1, "--gpus", 2, "--format", "json")

    assert result.exit_code == 0, result.output
    assert nnunet[1:] == [("train", "Dataset502_tiny-filtered", 1, 2)]
    assert json.loads(result.stdout)[0]["dice"] == 0.5


def test_folds_are_trained_by_shards_and_scored_by_the_merge(study, nnunet):
    whole = study.parent / "whole"
    shutil.copytree(study.parent, whole)
    assert call("train", whole / study.name).exit_code == 0
    nnunet.clear()
    assert call("train", study, "--prepare").exit_code == 0

    for k in (1, 2, 4):
        done = call("train", study, "--shard", f"{k}/4")
        assert done.exit_code == 0, done.stderr
    finish_folds(study)
    early = call("train", study, "--merge")
    assert early.exit_code == 2
    assert "1 fold not trained to the end: Dataset502_tiny-filtered, fold 0." in early.stderr
    assert call("train", study, "--shard", "3/4").exit_code == 0
    finish_folds(study)
    trained = [asked[1:3] for asked in nnunet if asked[0] == "train"]
    assert len(trained) == len(set(trained)) == 5
    assert not [asked for asked in nnunet if asked[0] == "predict"]
    for _ in range(2):
        merged = call("train", study, "--merge")
        assert merged.exit_code == 0, merged.stderr
        for name in ("model_scores.csv", "model_comparison.csv"):
            same = (study.parent / "out" / name).read_bytes()
            assert same == (whole / "out" / name).read_bytes()


def finish_folds(study):
    """What nnU-Net's last step leaves of each fold."""
    for fold in (study.parent / "out" / "nnUNet_results").glob("*/*/fold_*"):
        (fold / "checkpoint_final.pth").write_bytes(b"weights")
        seal(fold / "checkpoint_final.pth")


def test_the_printed_lines_are_commands_that_do_it(study, nnunet):
    result = call("train", study, "--print", "--epochs", 3)

    lines = result.stdout.splitlines()
    assert len(lines) == 2 + 5
    assert lines[0] == f"crowdqc train {study} --set unfiltered --prepare --epochs 3"
    assert lines[-1] == f"crowdqc train {study} --set filtered --fold 2 --epochs 3"
    assert nnunet == []
    for line in lines:
        done = call(*shlex.split(line)[1:])
        assert done.exit_code == 0, done.output
    assert [asked[0] for asked in nnunet[:2]] == ["prepare", "prepare"]
    assert len([asked for asked in nnunet if asked[0] == "train"]) == 5


def test_the_printed_lines_name_another_folder_of_results(study, nnunet):
    (study.parent / "out").rename(study.parent / "elsewhere")

    result = call("train", study, "--out", study.parent / "elsewhere", "--print")

    assert all(
        line.endswith(f" --out {study.parent / 'elsewhere'}") for line in result.stdout.splitlines()
    )
    assert len(result.stdout.splitlines()) == 7
    assert nnunet == []


def test_a_check_that_finds_a_fault_ends_with_3(study, nnunet):
    assert call("train", study, "--check").exit_code == 0
    path = study.parent / "out/nnUNet_raw/Dataset502_tiny-filtered/labelsTr/c1.nii.gz"
    save(path, np.zeros((6, 6, 4)))

    result = call("train", study, "--check", "-v")

    assert result.exit_code == 3
    assert "Case c1: nothing is labelled" in result.stderr
    (empty,) = read_empty_masks(study)
    assert (empty.case, empty.severity) == ("c1", "reject")
    assert empty.message.startswith("nothing is labelled")
    assert nnunet == []

    (study.parent / "mild.toml").write_text(MILD)
    study.write_text(STUDY + '[gate]\npolicy = "mild.toml"\n')

    assert call("train", study, "--check").exit_code == 0
    assert [one.severity for one in read_empty_masks(study)] == ["note"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--set", "truth"], "['truth'] are not in [dataset] sets"),
        (["--epochs", "0"], "'train.epochs'"),
        (["--device", "abacus"], "'--device'"),
        (["--fold", "second"], "or 'all'; got 'second'"),
    ],
)
def test_what_cannot_be_done_ends_with_2(study, nnunet, words, says):
    result = call("train", study, *words)

    assert result.exit_code == 2
    assert says in result.stderr
    assert nnunet == []


def test_a_dataset_that_is_not_there_names_the_command(study, nnunet):
    (study.parent / "out/nnUNet_raw/Dataset502_tiny-filtered").rename(study.parent / "away")

    result = call("train", study)

    assert result.exit_code == 2
    assert "'crowdqc dataset'" in result.stderr


def test_a_machine_without_the_device_refuses_before_it_prepares(study, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    result = call("train", study, "--device", "cuda")

    assert result.exit_code == 2
    assert "torch finds no such GPU on this machine" in result.stderr
    assert "--device cpu" in result.stderr
    assert not (study.parent / "out" / "nnUNet_preprocessed").exists()
