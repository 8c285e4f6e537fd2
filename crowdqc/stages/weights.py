"""Weights of models: which are published, which are here, and how to get them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from crowdqc.findings import InputError
from crowdqc.stages.extras import load

Progress = Callable[[int, int], None]


def fetch_weights(
    models: Sequence[str], folder: Path | None, *, progress: Callable[[str], Progress]
) -> None:
    """Download the weights of models that are missing, and check their hashes.

    Parameters
    ----------
    models : sequence of str
        Names of checkpoints.
    folder : Path or None
        Where to; as of `samgen.weights.weights_folder` if `None`.
    progress : callable
        Gives for a model what is called with the bytes that came and their sum.

    Raises
    ------
    InputError
        If a model is not known, cannot be fetched, or has another hash.
    """
    weights, download = load("samgen.weights"), load("samgen.download")
    unknown = [name for name in models if name not in weights.CHECKPOINTS]
    if unknown:
        known = ", ".join(weights.CHECKPOINTS)
        raise InputError(f"There is no model '{unknown[0]}'; known are {known}.")
    for name in models:
        checkpoint = weights.CHECKPOINTS[name]
        where = folder or weights.weights_folder()
        download.download_checkpoint(checkpoint, where, progress=progress(name))


def weights_table(folder: Path | None) -> pd.DataFrame:
    """A row for each published checkpoint; files that are here are hashed.

    Returns
    -------
    DataFrame
        ``model, file, megabytes, licence, state, hash, hash_from, url``; `state` in ``missing,
        damaged, right``; `hash_from` says who names the hash.
    """
    rows = [
        {
            "model": one.checkpoint.name,
            "file": one.checkpoint.file,
            "megabytes": one.checkpoint.megabytes,
            "licence": one.checkpoint.licence,
            "state": one.state,
            "hash": one.checkpoint.digest,
            "hash_from": one.checkpoint.hash_from,
            "url": one.checkpoint.url,
        }
        for one in load("samgen.weights").list_weights(folder)
    ]
    return pd.DataFrame(rows)
