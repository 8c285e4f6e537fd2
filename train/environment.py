"""The one door to nnU-Net: its folders and switches, set for a while and put back.

nnU-Net takes its settings from environment variables and talks on stdout. Here, and nowhere
else, they are set, and what it says goes to a log.
"""

from __future__ import annotations

import contextlib
import importlib.util
import multiprocessing
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO

from crowdqc.environment import set_variables
from crowdqc.files import no_link
from crowdqc.findings import InputError
from crowdqc.links import refuse_links


@dataclass(frozen=True)
class Folders:
    """Where nnU-Net keeps its files.

    Parameters
    ----------
    base : Path
        Holds ``nnUNet_raw``, ``nnUNet_preprocessed`` and ``nnUNet_results``.
    """

    base: Path

    @property
    def raw(self) -> Path:
        """Raw datasets."""
        return self.base / "nnUNet_raw"

    @property
    def preprocessed(self) -> Path:
        """Plans and preprocessed datasets."""
        return self.base / "nnUNet_preprocessed"

    @property
    def results(self) -> Path:
        """Trained models."""
        return self.base / "nnUNet_results"

    @property
    def log(self) -> Path:
        """What nnU-Net printed."""
        return self.base / "nnunet.log"

    def variables(self, *, workers: int) -> dict[str, str]:
        """Environment variables for nnU-Net, also for a program started apart.

        Parameters
        ----------
        workers : int
            Processes that load and augment; 0 does it in the training process.
        """
        return {
            "nnUNet_raw": str(self.raw),
            "nnUNet_preprocessed": str(self.preprocessed),
            "nnUNet_results": str(self.results),
            "nnUNet_extTrainer": str(Path(__file__).parent / "nnunet_trainers"),
            "nnUNet_def_n_proc": str(max(1, workers)),
            "nnUNet_n_proc_DA": str(workers),
            "TQDM_DISABLE": "1",
            "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1",  # also in processes that nnU-Net starts
            "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "0",
        }


@contextlib.contextmanager
def nnunet(
    folders: Folders, *, workers: int = 8, compiling: bool = False, planning: bool = False
) -> Iterator[None]:
    """nnU-Net's environment; everything is as before when the block ends.

    What nnU-Net prints goes to ``folders.log``.

    Parameters
    ----------
    folders : Folders
        Where it keeps its files; made if they are not there.
    workers : int
        Processes; with 0, pools are threads of this process, which for small data is much
        quicker than starting processes that each import torch.
    compiling : bool
        Whether torch may compile the network, which pays for long trainings only.
    planning : bool
        Whether this is nnU-Net's planning, which cannot do with 0 processes.

    Raises
    ------
    InputError
        If nnU-Net is not installed.
    """
    if importlib.util.find_spec("nnunetv2") is None:
        raise InputError(
            'nnU-Net is not installed, which training needs: pip install "crowdqc[train]".'
        )
    for folder in (folders.raw, folders.preprocessed, folders.results):
        refuse_links(folder)
        folder.mkdir(parents=True, exist_ok=True)
    variables = folders.variables(workers=max(workers, int(planning)))
    variables["nnUNet_compile"] = str(compiling)
    with contextlib.ExitStack() as stack:
        stack.enter_context(set_variables(variables))
        log = stack.enter_context(_opened_log(folders.log))
        stack.enter_context(contextlib.redirect_stdout(log))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        if workers == 0:
            stack.enter_context(_thread_pools())
        yield


def _opened_log(path: Path) -> TextIO:
    try:
        return open(path, "a", encoding="utf-8", opener=no_link)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}. Remove it.") from error


@contextlib.contextmanager
def _thread_pools() -> Iterator[None]:
    """Make the pools that nnU-Net opens pools of threads."""
    real = multiprocessing.get_context
    utilities: Any = importlib.import_module("nnunetv2.utilities.utils")
    pool = utilities.Pool

    def get_context(method: str | None = None) -> Any:
        return real() if method is None else SimpleNamespace(Pool=ThreadPool)

    multiprocessing.get_context, utilities.Pool = get_context, ThreadPool
    try:
        yield
    finally:
        multiprocessing.get_context, utilities.Pool = real, pool
