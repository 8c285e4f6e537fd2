"""Modules of `samgen` and `train`, loaded when they are needed: they stand on crowdqc."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

from crowdqc.findings import InputError


def load(name: str) -> ModuleType:
    """A module of `samgen` or `train`, once it is sure that they are ours.

    Raises
    ------
    InputError
        If another package of that common name comes first, or an extra is not installed.
    """
    package = name.partition(".")[0]
    try:
        module = importlib.import_module(name)
        found = importlib.import_module(package).__file__
    except ModuleNotFoundError as error:
        raise InputError(f"{name}: cannot be loaded: {error}. Install crowdqc[all].") from error
    if Path(str(found)).parent.parent != Path(__file__).parents[2]:
        raise InputError(
            f"The package '{package}' that Python finds ({found}) is not the one of crowdqc. "
            "Remove it, or start crowdqc from another folder."
        )
    return module
