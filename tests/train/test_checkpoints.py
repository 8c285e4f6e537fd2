"""Files of a training that would run a program when they are opened: none does, each is named."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from crowdqc.findings import InputError
from train.checkpoints import check_plans, check_prepared, safe_checkpoints
from train.environment import Folders


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def mark(tmp_path):
    return tmp_path / "ran"


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def plans(folder, name="torch.nn.modules.conv.Conv3d"):
    architecture = {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {"conv_op": name, "dropout_op": None},
        "_kw_requires_import": ["conv_op", "dropout_op"],
    }
    path = folder / "plans.json"
    path.write_text(json.dumps({"configurations": {"2d": {"architecture": architecture}}}))
    return path


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("place", ["weights", "root"])
def test_a_checkpoint_that_would_run_a_program_is_refused_by_name(
    tmp_path, torch, mark, legacy, place
):
    path = tmp_path / "checkpoint_final.pth"
    record = Bomb(mark) if place == "root" else {"network_weights": Bomb(mark)}
    torch.save(record, path, _use_new_zipfile_serialization=not legacy)

    with (
        pytest.raises(InputError, match=r"checkpoint_final\.pth: is not a checkpoint of plain"),
        safe_checkpoints(),
    ):
        torch.load(path, weights_only=False)

    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists(), "the attack itself does nothing"


@pytest.mark.parametrize("data", [b"", b"\x80\x02}q\x00.", b"PK\x03\x04", b"\x00" * 99])
def test_what_is_no_checkpoint_is_refused_by_name(tmp_path, torch, data):
    path = tmp_path / "checkpoint_final.pth"
    path.write_bytes(data)

    with pytest.raises(InputError, match=r"checkpoint_final\.pth"), safe_checkpoints():
        torch.load(path)


def test_what_nnunet_writes_is_read(tmp_path, torch):
    path = tmp_path / "checkpoint_final.pth"
    record = {
        "network_weights": {"a": torch.ones(2)},
        "logging": {"ema_fg_dice": [np.float64(0.5), np.float32(0.25)], "epoch": [np.int64(3)]},
        "_best_ema": np.float64(0.5),
        "init_args": {"plans": {"a": [1]}, "device": torch.device("cpu"), "fold": 0},
        "inference_allowed_mirroring_axes": (0, 1),
        "grad_scaler_state": None,
    }
    torch.save(record, path)

    with safe_checkpoints():
        found = torch.load(path, weights_only=False)

    assert found["_best_ema"] == 0.5
    assert found["logging"] == record["logging"]
    assert found["init_args"] == record["init_args"]


def test_properties_that_would_run_a_program_are_refused_by_name(tmp_path, mark):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"spacing": Bomb(mark)}))

    with pytest.raises(InputError, match=r"a\.pkl: is not what nnU-Net writes"):
        check_prepared(tmp_path, plans(tmp_path))

    assert not mark.exists()


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_properties_that_nnunet_writes_pass(tmp_path, protocol):
    properties = {
        "spacing": [np.float64(1.5), 1.0],
        "class_locations": {1: np.arange(12).reshape(3, 4), (1, 2): []},
        "sitk_stuff": {"origin": (0.0, 1.0)},
        "shape": np.array([1, 2]),
    }
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(properties, protocol=protocol))

    check_prepared(tmp_path, plans(tmp_path))


@pytest.mark.parametrize("layer", [b"LazyArray", b"proxy-source", b"\xa3b2o"])
def test_arrays_that_hold_programs_are_refused(tmp_path, layer):
    (tmp_path / "a.b2nd").write_bytes(b"\x00" * 100 + layer + b"\x00" * 100)

    with pytest.raises(InputError, match=r"a\.b2nd: holds a program"):
        check_prepared(tmp_path, plans(tmp_path))


@pytest.mark.parametrize(
    "name",
    [
        *("os.system", "torch.load", "torchx.nn.a", "antigravity", 7, ["torch.nn.Conv2d"]),
        "torch.nn.functional.torch.os.system",
        "torch.nn.functional.importlib.import_module",
        "torch.nn.modules.conv.Conv3d.__init__",
        "dynamic_network_architectures.architectures.unet.nn.functional.torch.os.system",
    ],
)
def test_plans_name_classes_of_networks_only(tmp_path, name):
    with pytest.raises(InputError, match="no class of a network"):
        check_plans(plans(tmp_path, name))


def test_a_class_that_is_looked_up_unasked_is_one_of_networks(tmp_path):
    path = plans(tmp_path, "torch.nn.functional.torch.os.system")
    record = json.loads(path.read_text(encoding="utf-8"))
    record["configurations"]["2d"]["architecture"]["_kw_requires_import"] = []
    path.write_text(json.dumps(record))

    with pytest.raises(InputError, match="no class of a network"):
        check_plans(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data_identifier", "../../evil"),
        ("data_identifier", "/etc"),
        ("data_identifier", ".."),
        ("previous_stage", "a/b"),
        ("next_stage", ["..\\evil"]),
        ("preprocessor_name", "Pool"),
        ("resampling_fn_data", "load_pickle"),
        ("normalization_schemes", ["ZScoreNormalization", "os"]),
    ],
)
def test_plans_name_nothing_elsewhere(tmp_path, key, value):
    path = plans(tmp_path)
    record = json.loads(path.read_text(encoding="utf-8"))
    record["configurations"]["2d"][key] = value
    path.write_text(json.dumps(record))

    with pytest.raises(InputError, match="names"):
        check_plans(path)


@pytest.mark.parametrize("key", ["dataset_name", "image_reader_writer", "label_manager"])
def test_a_whole_plan_names_nothing_elsewhere(tmp_path, key):
    path = plans(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {key: "../evil"}))

    with pytest.raises(InputError, match="evil"):
        check_plans(path)


@pytest.mark.parametrize("case", ["../../evil/a", "/etc/a", "..", "", 7])
def test_splits_name_no_case_elsewhere(tmp_path, case):
    (tmp_path / "splits_final.json").write_text(json.dumps([{"train": [case], "val": ["b"]}]))

    with pytest.raises(InputError, match=r"splits_final\.json: names .* no case"):
        check_prepared(tmp_path, plans(tmp_path))


@pytest.mark.parametrize("text", ["{}", "[1]", '[{"train": 1}]', "[" * 9999])
def test_what_is_no_split_is_refused(tmp_path, text):
    (tmp_path / "splits_final.json").write_text(text)

    with pytest.raises(InputError, match=r"splits_final\.json"):
        check_prepared(tmp_path, plans(tmp_path))


def test_a_folder_in_place_of_an_array_is_refused(tmp_path):
    (tmp_path / "a.b2nd").mkdir()

    with pytest.raises(InputError, match=r"a\.b2nd: is a folder"):
        check_prepared(tmp_path, plans(tmp_path))


def test_a_checkpoint_names_no_other_trainer(tmp_path, torch):
    torch.save({"trainer_name": "nnUNetTrainerBN"}, tmp_path / "a.pth")
    torch.save({"trainer_name": "CrowdqcTrainer"}, tmp_path / "b.pth")

    with safe_checkpoints():
        torch.load(tmp_path / "b.pth")
        with pytest.raises(InputError, match="another trainer"):
            torch.load(tmp_path / "a.pth")


@pytest.mark.parametrize("variable", ["", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"])
def test_processes_that_nnunet_starts_load_plain_data_alone(tmp_path, torch, mark, variable):
    path = tmp_path / "checkpoint_latest.pth"
    torch.save(Bomb(mark), path)
    own = Folders(tmp_path).variables(workers=1)
    variables = {**os.environ, **dict.fromkeys([variable] if variable else [], "1"), **own}
    code = "import sys, torch; torch.load(sys.argv[1], weights_only=False)"

    done = subprocess.run([sys.executable, "-c", code, path], env=variables, check=False)

    assert done.returncode == 1
    assert not mark.exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"configurations": {"a": {"architecture": 1}}}'])
def test_what_is_no_plan_is_refused(tmp_path, text):
    (tmp_path / "plans.json").write_text(text)

    with pytest.raises(InputError, match=r"plans\.json"):
        check_plans(tmp_path / "plans.json")


def test_no_library_is_given_anything_that_this_module_did_not_look_at():
    """A new call of `torch.load` or `pickle.load` in our code has to come here."""
    root = Path(__file__).parents[2]
    files = [p for room in ("crowdqc", "samgen", "train") for p in (root / room).rglob("*.py")]

    calls = {p.name for p in files if "pickle.load" in p.read_text(encoding="utf-8")}
    loads = {p.name for p in files if "torch.load" in p.read_text(encoding="utf-8")}

    assert calls == set()
    assert loads <= {"checkpoints.py", "nninteractive_state.py", "weights.py"}
