"""Weights of SAM and MedSAM: what there is, what is at hand, and fetching it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pandas as pd

from crowdqc.findings import InputError
from crowdqc.stages.masks import load

Progress = Callable[[int, int], None]


def fetch(
    models: Sequence[str], folder: Path | None, *, progress: Callable[[str], Progress]
) -> None:
    """Download the weights of `models` that are missing, and check their hashes.

    Raises
    ------
    InputError
        If a model is not known, cannot be fetched, or has another hash.
    """
    module = load("samgen.weights")
    for name in models:
        _refuse_unknown(name, module.CHECKPOINTS)
        module.download_checkpoint(
            module.CHECKPOINTS[name], folder or module.weights_folder(), progress=progress(name)
        )


def list_weights(models: Sequence[str], folder: Path | None, *, verify: bool) -> pd.DataFrame:
    """A row for each model: its file, size, hash, and whether it is at hand.

    With `verify`, files that are there are read whole and their hashes compared.

    Raises
    ------
    InputError
        If a model is not known, or a file has another hash than the published one.
    """
    module = load("samgen.weights")
    rows = []
    for name in models or list(module.CHECKPOINTS):
        _refuse_unknown(name, module.CHECKPOINTS)
        checkpoint = module.CHECKPOINTS[name]
        path = (folder or module.weights_folder()) / checkpoint.file
        if verify and path.is_file():
            module.verify_checkpoint(path, checkpoint.digest)
        state = ("verified" if verify else "there") if path.is_file() else "not there"
        rows.append((name, checkpoint.file, checkpoint.megabytes, state, checkpoint.digest))
    return pd.DataFrame(rows, columns=["model", "file", "megabytes", "state", "hash"])


def _refuse_unknown(name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise InputError(f"There is no model '{name}'; known are {', '.join(known)}.")
