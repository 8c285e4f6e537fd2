"""What nnU-Net would unpickle or import of a folder of results, looked at before it does.

Checkpoints are read with ``weights_only`` and a list of the plain types that nnU-Net writes;
properties of prepared cases by an unpickler of the same kind; plans may name classes of networks
only. Whatever names anything else is refused, and nothing of it runs. Nothing depends on who
wrote a file, so that trainings go on on other machines.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crowdqc.files import JSON_BYTES_MAX, Unreadable, read_bytes, read_json
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
_CLASSES = ("torch.nn.", "dynamic_network_architectures.")
"""Where classes come from that plans name."""
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
        Naming the first file that is no plain data.
    """
    check_plans(plans)
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".pkl":
            _load_plain(path)
        elif path.suffix == ".b2nd":
            _refuse_active(path)


def check_plans(path: Path) -> None:
    """Refuse plans that name other classes than those of networks.

    Raises
    ------
    InputError
        Naming the class.
    """
    try:
        configurations = read_json(path, JSON_BYTES_MAX)["configurations"].values()
        parts = [one["architecture"] for one in configurations if "architecture" in one]
        named = [part["network_class_name"] for part in parts]
        for part in parts:
            named += [part["arch_kwargs"][key] for key in part["_kw_requires_import"]]
    except Unreadable as error:
        raise InputError(f"{path}: {error}") from error
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is not a plan of nnU-Net ({error!r}).") from error
    for name in named:
        if name is not None and not str(name).startswith(_CLASSES):
            raise InputError(
                f"{path}: names {json.dumps(name)}, no class of a network, and is not used. Move "
                "it away and prepare the dataset again."
            )


@contextlib.contextmanager
def safe_checkpoints() -> Iterator[None]:
    """Whatever calls `torch.load` in this block gets plain data, or an `InputError`."""
    import torch  # noqa: PLC0415 - heavy, and only for training

    real = torch.load

    @functools.wraps(real)
    def load(file: Any, *args: Any, **words: Any) -> Any:
        try:
            with torch.serialization.safe_globals(_numpy_types()):
                return real(file, *args, **{**words, "weights_only": True})
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


def _numpy_types() -> list[Any]:
    """The numbers of NumPy that nnU-Net keeps among its own, by the names of either version."""
    import numpy as np  # noqa: PLC0415

    scalar = np.float64(0).__reduce__()[0]
    dtypes = [type(np.dtype(name)) for name in ("f4", "f8", "i4", "i8", "u1", "?")]
    names = [f"numpy.{core}.multiarray.scalar" for core in ("core", "_core")]
    return [np.dtype, *dtypes, *((scalar, name) for name in names)]


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
    with path.open("rb") as file:
        beginning = file.read(_BEGINNING)
    if any(layer in beginning for layer in _ACTIVE):
        raise InputError(f"{path}: holds a program or an address, no array. Remove the folder.")
