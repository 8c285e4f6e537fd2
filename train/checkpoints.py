"""What nnU-Net would unpickle or import of a folder of results, looked at before it does.

Checkpoints are read with ``weights_only`` and a list of the plain types that nnU-Net writes;
properties of prepared cases by an unpickler of the same kind; plans may name classes of networks
and nnU-Net's own functions only; and what they, or splits, name as folders and cases lies where
it was looked at. Whatever names anything else is refused, and nothing of it runs. Nothing depends
on who wrote a file, so that trainings go on on other machines.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crowdqc.arrays import pickled_numbers
from crowdqc.files import Unreadable, load_json, opened, read_bytes
from crowdqc.findings import InputError

PICKLE_BYTES_MAX = 1_000_000_000
"""Largest file of properties: it lists voxels of each class."""
_NUMPY = (
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core")
      for name in ("scalar", "_reconstruct")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    ("_codecs", "encode"),
    ("collections", "OrderedDict"),
)  # fmt: skip
_CLASS = re.compile(
    r"(?:torch\.nn(?:\.modules\.\w+)?|dynamic_network_architectures\.architectures\.\w+)\.[A-Z]\w*"
)
"""Classes that plans may name. nnU-Net follows dots into what a module has imported, and calls
what it finds: with one more of them, ``torch.nn.functional.torch.os.system``."""
_ALLOWED = {
    "image_reader_writer": {"SimpleITKIO", "NibabelIO", "NaturalImage2DIO", "Tiff3DIO"},
    "experiment_planner_used": {"ExperimentPlanner"},
    "label_manager": {"LabelManager"},
    "preprocessor_name": {"DefaultPreprocessor"},
    **{
        f"resampling_fn_{what}": {"resample_data_or_seg_to_shape", "resample_torch_fornnunet"}
        for what in ("data", "seg", "probabilities")
    },
    "normalization_schemes": {
        *("CTNormalization", "ZScoreNormalization", "NoNormalization"),
        *("RescaleTo01Normalization", "RGBTo01Normalization"),
    },
}
"""What plans call by its name, which may be that of anything in a module -> what we know."""
_PLACES = ("dataset_name", "data_identifier", "previous_stage", "next_stage", "plans_name")
_PLACE = re.compile(r"[^/\\:\0]*[^/\\:\0.][^/\\:\0]*")
"""A name of one folder or file, neither a path nor a way up."""
_CLASS_KEYS = ("conv_op", "norm_op", "dropout_op", "nonlin")
"""What trainers look up whether or not plans say that they must be imported."""
SPLITS = "splits_final.json"
TRAINER = "CrowdqcTrainer"
"""The one trainer by which checkpoints may have been written: others run other programs."""
_ACTIVE = (b"LazyArray", b"proxy-source", b"\xa3b2o")
"""Layers of a Blosc2 file by which some versions of Blosc2 run code or connect to a server."""
_BEGINNING = 4096


class _Plain(pickle.Unpickler):
    """Unpickles numbers, texts, arrays and containers of them."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _NUMPY:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return super().find_class(module, name)


def check_prepared(folder: Path, plans: Path) -> None:
    """Look at all that nnU-Net reads of a prepared dataset.

    Parameters
    ----------
    folder : Path
        The dataset in ``nnUNet_preprocessed``.
    plans : Path
        The plans that will be followed.

    Raises
    ------
    InputError
        Naming the first file that is no plain data, or names what lies elsewhere.
    """
    check_plans(plans)
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".pkl":
            _load_plain(path)
        elif path.suffix == ".b2nd":
            _refuse_active(path)
        elif path.name == SPLITS:
            _refuse_places(path)


def check_plans(path: Path) -> None:
    """Refuse plans that name anything but networks, functions of nnU-Net, and folders beside them.

    Raises
    ------
    InputError
        Naming what it names.
    """
    plans = load_json(path, dict)
    try:
        parts = [plans, *plans["configurations"].values()]
        unknown = [name for part in parts for name in _unknown(part)]
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is not a plan of nnU-Net ({error!r}).") from error
    for name in unknown:
        raise InputError(
            f"{path}: names {json.dumps(name)[:100]}, no class of a network, function of nnU-Net "
            "or folder of its own, and is not used. Move it away and prepare the dataset again."
        )


def _unknown(part: dict[str, Any]) -> Iterator[object]:
    """Names in plans, or in one configuration of them, that are not of the kind they must be."""
    for key, known in _ALLOWED.items():
        yield from (name for name in _listed(part.get(key)) if name not in known)
    for key in _PLACES:
        yield from (name for name in _listed(part.get(key)) if not _is(_PLACE, name))
    if "architecture" in part:
        network = part["architecture"]
        keys = {*network["_kw_requires_import"], *network["arch_kwargs"]}
        named = [network["arch_kwargs"][key] for key in keys if key in _CLASS_KEYS]
        named += [network["arch_kwargs"][key] for key in network["_kw_requires_import"]]
        yield from (name for name in named if name is not None and not _is(_CLASS, name))
        if not _is(_CLASS, network["network_class_name"]):
            yield network["network_class_name"]


def _listed(value: object) -> list[object]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _is(pattern: re.Pattern[str], name: object) -> bool:
    return isinstance(name, str) and pattern.fullmatch(name) is not None


def _refuse_places(path: Path) -> None:
    """Refuse splits with cases that lie elsewhere: nnU-Net unpickles what they name."""
    try:
        folds = load_json(path, list)
        names = [name for fold in folds for part in ("train", "val") for name in fold[part]]
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: holds no splits ({error!r}).") from error
    for name in names:
        if not _is(_PLACE, name):
            raise InputError(f"{path}: names {json.dumps(name)[:100]}, which is no case.")


@contextlib.contextmanager
def safe_checkpoints() -> Iterator[None]:
    """Whatever calls `torch.load` in this block gets plain data, or an `InputError`."""
    import torch  # noqa: PLC0415 - heavy, and only for training

    real = torch.load

    @functools.wraps(real)
    def load(file: Any, *args: Any, **words: Any) -> Any:
        try:
            with torch.serialization.safe_globals(pickled_numbers()):
                record = real(file, *args, **{**words, "weights_only": True})
            if isinstance(record, dict) and record.get("trainer_name", TRAINER) != TRAINER:
                raise ValueError("it names another trainer")  # noqa: TRY301
            return record  # noqa: TRY300
        except Exception as error:  # whatever a broken or hostile file makes of the unpickler
            reason = str(error).strip().partition("\n")[0][:200]
            raise InputError(
                f"{file}: is not a checkpoint of plain numbers and is not opened, because opening "
                f"it could run a program ({reason}). Move it away to train anew."
            ) from error

    torch.load = load
    try:
        yield
    finally:
        torch.load = real


def _load_plain(path: Path) -> None:
    try:
        _Plain(io.BytesIO(read_bytes(path, PICKLE_BYTES_MAX))).load()
    except Unreadable as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:
        raise InputError(
            f"{path}: is not what nnU-Net writes and is not opened, because opening it could run a "
            f"program ({str(error)[:200]}). Remove the folder; it is prepared again."
        ) from error


def _refuse_active(path: Path) -> None:
    try:
        with opened(path) as file:
            beginning = file.read(_BEGINNING)
    except Unreadable as error:
        raise InputError(f"{path}: {error} Remove the folder; it is prepared again.") from error
    if any(layer in beginning for layer in _ACTIVE):
        raise InputError(f"{path}: holds a program or an address, no array. Remove the folder.")
