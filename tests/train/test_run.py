"""nnU-Net's whole path on tiny volumes: plan, preprocess, train, be killed, go on, predict."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from crowdqc.config import Train, load_config
from crowdqc.engine.cluster import RayEngine
from crowdqc.findings import InputError
from crowdqc.simulate import make_abdomen
from crowdqc.simulate.abdomen import LABELS
from crowdqc.simulate.demo import write_pictures
from train import environment
from train.dataset import DatasetPlan, TrainingCase, build_dataset
from train.environment import Folders, nnunet
from train.experiment import check_sets, evaluate_sets, prepare_sets, train_sets
from train.run import count_folds, model_folder, predict, prepare, train_fold
from train.splits import make_splits

ROOT = Path(__file__).parents[2]
NAME = "Dataset501_tiny-unfiltered"
SETTINGS = Train(
    epochs=3,
    iterations=2,
    save_every=2,
    features=4,
    memory_gb=0.05,
    workers=0,
    device="cpu",
    compile=False,
)


def build(base, *, unknown=None):
    """A dataset of three tiny abdomens and one to test on.

    With `unknown`, of shape (slices, labels), what is not known is ignored.
    """
    cases = []
    for number in range(4):
        rng = np.random.default_rng(number)
        abdomen = make_abdomen(rng, shape=(24, 40, 40), spacing=(8.4, 8.4, 5))
        paths = [base / kind / f"a{number}.nii.gz" for kind in ("images", "labels")]
        write_pictures(paths[0], abdomen.density, abdomen)
        write_pictures(paths[1], abdomen.mask, abdomen)
        cases.append(
            TrainingCase(case=f"a{number}", image=paths[0], mask=paths[1], unknown=unknown)
        )
    folders = Folders(base)
    plan = DatasetPlan(
        number=501,
        name="tiny-unfiltered",
        labels=LABELS,
        training=cases[:3],
        test={"a3": cases[3].image},
        unknown_is="background" if unknown is None else "ignore",
    )
    built = build_dataset(folders.raw, plan)
    splits = make_splits(built.cases, folds=3)
    (built.folder / "splits_final.json").write_text(json.dumps(splits))
    return folders


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    pytest.importorskip("nnunetv2")
    folders = build(tmp_path_factory.mktemp("prepared"))
    assert prepare(folders, NAME, settings=SETTINGS, seed=1)
    return folders


@pytest.fixture(scope="module")
def trained(prepared):
    assert train_fold(prepared, NAME, fold=0, settings=SETTINGS)
    return prepared


@pytest.fixture
def copy(prepared, tmp_path):
    """The prepared dataset elsewhere, without any training."""
    for part in ("nnUNet_raw", "nnUNet_preprocessed"):
        shutil.copytree(prepared.base / part, tmp_path / part)
    return Folders(tmp_path)


def weights(folders, name="checkpoint_final.pth"):
    torch = pytest.importorskip("torch")
    path = model_folder(folders, NAME, SETTINGS) / "fold_0" / name
    return torch.load(path, weights_only=False, map_location="cpu")


STUDY = """
[study]
name = "tiny"
seed = 1
[labels]
0 = { name = "spleen", value = 1 }
1 = { name = "right_kidney", value = 2 }
2 = { name = "left_kidney", value = 3 }
3 = { name = "liver", value = 4 }
4 = { name = "aorta", value = 5 }
[annotations]
format = "yolo"
path = "boxes/{rater}/{case}-slice{slice}.txt"
[dataset]
test = ["a3"]
[train]
save_every = 2
features = 4
memory_gb = 0.05
workers = 0
compile = false
"""


@pytest.fixture
def config(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY)
    settings = {"epochs": 3, "iterations": 2, "device": "cpu", "configuration": None}
    return load_config(tmp_path / "study.toml", changes={"train": settings})


def test_the_whole_path_ends_with_scores(trained, config):
    assert config.train == SETTINGS
    said = []
    prepare_sets(config, trained, ["unfiltered"], say=said.append)
    table = train_sets(config, trained, [("unfiltered", 0)], say=said.append)
    truth = {"a3": trained.base / "labels" / "a3.nii.gz"}
    scores, findings = evaluate_sets(config, trained, ["unfiltered"], truth=truth, say=said.append)

    assert table.loc[0, ["set", "fold", "state"]].tolist() == ["unfiltered", "0", "was trained"]
    assert table.loc[0, "dice"] == pytest.approx(table.loc[0, "dice"].clip(0, 1))
    assert findings == []
    assert scores["set"].unique().tolist() == ["nnunet-unfiltered"]
    volumes = scores[scores["slice"].isna()]
    assert volumes["label"].tolist() == list(LABELS)
    assert volumes["dice"].between(0, 1).all()
    assert said == [
        f"preparing {NAME} ...",
        "  was prepared already",
        "training 1 folds ...",
        f"  {NAME}, fold 0: was trained",
        f"predicting with {NAME} ...",
    ]


def test_a_study_is_checked_before_it_is_trained(trained, config):
    findings = check_sets(config, trained, ["unfiltered"])

    assert {f.severity for f in findings} == {"note"}
    with pytest.raises(InputError, match=r"put 'filtered' into .dataset. sets"):
        check_sets(config, trained, ["filtered"])
    with pytest.raises(InputError, match=r"there is no expert mask of a3. Give \[truth\] path"):
        evaluate_sets(config, trained, ["unfiltered"], truth={}, say=print)


def test_a_setting_that_cannot_be_is_refused(config):
    with pytest.raises(InputError, match=r"'train.epochs': .* greater than or equal to 1; got 0"):
        load_config(config.file, changes={"train": {"epochs": 0}})


def test_our_settings_reached_nnunet(trained):
    checkpoint = weights(trained)

    assert checkpoint["trainer_name"] == "CrowdqcTrainer"
    assert checkpoint["current_epoch"] == 3
    assert checkpoint["inference_allowed_mirroring_axes"] is None
    losses = checkpoint["logging"]["train_losses"]
    assert len(losses) == 3
    assert np.isfinite(losses).all()
    plans = json.loads(
        (model_folder(trained, NAME, SETTINGS) / "plans.json").read_text(encoding="utf-8")
    )
    architecture = plans["configurations"]["3d_fullres"]["architecture"]
    assert architecture["arch_kwargs"]["features_per_stage"][0] == 4
    splits = json.loads(
        (trained.preprocessed / NAME / "splits_final.json").read_text(encoding="utf-8")
    )
    validated = (model_folder(trained, NAME, SETTINGS) / "fold_0/validation").glob("*.nii.gz")
    assert sorted(path.name[:2] for path in validated) == splits[0]["val"]


@pytest.mark.parametrize(("name", "kind"), [("sgd", "SGD"), ("adam", "AdamW")])
def test_the_optimizer_is_the_one_that_was_asked_for(copy, name, kind):
    trainers, torch = (pytest.importorskip(one) for one in ("train.trainers", "torch"))
    plans = json.loads((copy.preprocessed / NAME / "crowdqcPlans.json").read_text(encoding="utf-8"))
    plans["crowdqc"]["training"]["optimizer"] = name
    plans["continue_training"] = False
    description = json.loads((copy.raw / NAME / "dataset.json").read_text(encoding="utf-8"))
    with nnunet(copy, workers=0):
        trainer = trainers.CrowdqcTrainer(plans, "3d_fullres", 0, description, torch.device("cpu"))
        trainer.initialize()

    assert type(trainer.optimizer).__name__ == kind


def test_what_is_done_is_not_done_again(trained):
    assert not prepare(trained, NAME, settings=SETTINGS, seed=1)
    assert not train_fold(trained, NAME, fold=0, settings=SETTINGS)


KILLED = """
import os, signal, sys
from pathlib import Path
from crowdqc.config import Train
from train import trainers
from train.environment import Folders
from train.run import train_fold

begin = trainers.CrowdqcTrainer.on_epoch_start

def killed(self):
    if self.current_epoch == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    begin(self)

trainers.CrowdqcTrainer.on_epoch_start = killed
base, dataset, settings = sys.argv[1:]
settings = Train.model_validate_json(settings)
train_fold(Folders(Path(base)), dataset, fold=0, settings=settings)
"""


def test_a_killed_training_goes_on_and_ends_as_if_it_had_not_been(trained, copy):
    words = [sys.executable, "-c", KILLED, str(copy.base), NAME, SETTINGS.model_dump_json()]
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert weights(copy, "checkpoint_latest.pth")["current_epoch"] == 2

    assert train_fold(copy, NAME, fold=0, settings=SETTINGS)

    resumed, whole = weights(copy), weights(trained)
    assert len(resumed["logging"]["train_losses"]) == 3
    for name, value in whole["network_weights"].items():
        np.testing.assert_array_equal(resumed["network_weights"][name], value)


def test_a_cluster_trains_as_this_process_does(trained, copy, config, nodes):
    table = train_sets(
        config,
        copy,
        [("unfiltered", 0)],
        engine=RayEngine(address=nodes.address),
        say=print,
    )

    assert table["state"].tolist() == ["trained"]
    here, there = weights(trained), weights(copy)
    for name, value in here["network_weights"].items():  # sums of another number of threads
        np.testing.assert_allclose(there["network_weights"][name], value, atol=1e-3)


def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(tmp_path, monkeypatch):
    trainers = pytest.importorskip("train.trainers")
    trainer = object.__new__(trainers.CrowdqcTrainer)
    target = tmp_path / "checkpoint_latest.pth"
    target.write_bytes(b"whole")

    def cut_short(self, filename):
        with open(filename, "wb") as file:  # noqa: PTH123
            file.write(b"ha")
        raise KeyboardInterrupt

    monkeypatch.setattr(trainers.nnUNetTrainer, "save_checkpoint", cut_short)
    with pytest.raises(KeyboardInterrupt):
        trainer.save_checkpoint(str(target))

    assert target.read_bytes() == b"whole"


def test_other_epochs_need_no_new_preprocessing_but_another_training(trained, tmp_path):
    folders = Folders(tmp_path / "copy")
    shutil.copytree(trained.base, folders.base)
    longer = SETTINGS.model_copy(update={"epochs": 4})
    data = folders.preprocessed / NAME / "nnUNetPlans_3d_fullres"
    data = data if data.exists() else folders.preprocessed / NAME / "crowdqcPlans_3d_fullres"
    before = {path.name: path.stat().st_mtime_ns for path in data.iterdir()}

    assert prepare(folders, NAME, settings=longer, seed=1)

    assert {path.name: path.stat().st_mtime_ns for path in data.iterdir()} == before
    with pytest.raises(InputError, match="a training with other data or settings"):
        train_fold(folders, NAME, fold=0, settings=longer)


def test_other_data_is_preprocessed_again(copy):
    path = copy.raw / NAME / "labelsTr" / "a0.nii.gz"
    image = nib.load(path)
    labels = np.asarray(image.dataobj).copy()
    labels[labels == 3] = 0
    nib.save(nib.Nifti1Image(labels, image.affine, image.header), path)

    assert prepare(copy, NAME, settings=SETTINGS, seed=1)

    kept = copy.preprocessed / NAME / "gt_segmentations" / "a0.nii.gz"
    assert 3 not in np.unique(np.asarray(nib.load(kept).dataobj))


def test_ignored_voxels_are_no_foreground_of_the_fingerprint(tmp_path):
    pytest.importorskip("nnunetv2")
    unknown = np.zeros((24, len(LABELS)), dtype=bool)
    unknown[::3, 0] = True  # the spleen: and with it the air round the body, at -1000 HU
    folders = build(tmp_path, unknown=unknown)

    prepare(folders, NAME, settings=SETTINGS)

    volumes = [
        (np.asarray(nib.load(folders.raw / NAME / kind).dataobj) for kind in (image, mask))
        for image, mask in (
            (f"imagesTr/a{k}_0000.nii.gz", f"labelsTr/a{k}.nii.gz") for k in range(3)
        )
    ]
    known = np.concatenate([image[(mask > 0) & (mask < 6)] for image, mask in volumes])
    text = (folders.preprocessed / NAME / "dataset_fingerprint.json").read_text(encoding="utf-8")
    got = json.loads(text)["foreground_intensity_properties_per_channel"]["0"]
    assert got["min"] >= known.min() > -500
    assert got["max"] <= known.max()
    assert got["mean"] == pytest.approx(known.mean(), abs=2)


def test_nothing_leaks_out_of_the_door(tmp_path, capsys):
    pytest.importorskip("nnunetv2")
    before, context = dict(os.environ), multiprocessing.get_context
    folders = Folders(tmp_path / "nn")

    def work():
        with nnunet(folders, workers=0):
            assert folders.variables(workers=0).items() <= os.environ.items()
            os.environ["MASTER_PORT"] = "1"
            print("noise")  # noqa: T201
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()

    assert dict(os.environ) == before
    assert multiprocessing.get_context is context
    assert capsys.readouterr().out == ""
    assert folders.log.read_text(encoding="utf-8") == "noise\n"


def test_without_nnunet_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(environment.importlib.util, "find_spec", {}.get)

    with (
        pytest.raises(InputError, match=r"pip install .crowdqc\[train\]"),
        nnunet(Folders(tmp_path)),
    ):
        pass


def test_what_cannot_be_trained_is_refused(copy, tmp_path):
    with pytest.raises(InputError, match="no such dataset"):
        prepare(copy, "Dataset999_none", settings=SETTINGS)
    with pytest.raises(InputError, match="is not prepared"):
        train_fold(copy, "Dataset999_none", fold=0, settings=SETTINGS)
    assert count_folds(copy, NAME) == 3
    with pytest.raises(InputError, match="has the folds 0 to 2 and 'all'; got 3"):
        train_fold(copy, NAME, fold=3, settings=SETTINGS)
    with pytest.raises(InputError, match="no fold is trained to the end"):
        predict(copy, NAME, output=tmp_path / "p", settings=SETTINGS)
    with pytest.raises(InputError, match="fold 2 is not trained to the end"):
        predict(copy, NAME, output=tmp_path / "p", settings=SETTINGS, folds=[2])


def test_images_that_are_not_there_are_refused(trained, tmp_path):
    with pytest.raises(InputError, match="holds no image to predict"):
        predict(trained, NAME, output=tmp_path, settings=SETTINGS, images=tmp_path)


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("name", ["checkpoint_final.pth", "checkpoint_latest.pth"])
def test_a_checkpoint_of_a_stranger_runs_no_program(trained, tmp_path, name):
    torch = pytest.importorskip("torch")
    for part in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        shutil.copytree(trained.base / part, tmp_path / part)
    folders, mark = Folders(tmp_path), tmp_path / "ran"
    results = model_folder(folders, NAME, SETTINGS) / "fold_0"
    if name != "checkpoint_final.pth":
        (results / "checkpoint_final.pth").unlink()
    torch.save({"network_weights": Bomb(mark)}, results / name)

    use = partial(predict, output=tmp_path / "predicted")
    if name != "checkpoint_final.pth":
        use = partial(train_fold, fold=0)
    with pytest.raises(InputError, match=rf"{name}: is not a checkpoint of plain numbers"):
        use(folders, NAME, settings=SETTINGS)

    assert not mark.exists()
