"""Training and prediction through nnU-Net's own machinery."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from crowdqc.config import Train
from crowdqc.files import load_json, sha256
from crowdqc.findings import InputError
from crowdqc.links import without_links
from crowdqc.trust import is_sealed, seal
from crowdqc.writing import atomic
from train.checkpoints import (
    SPLITS,
    TRAINER,
    check_plans,
    check_prepared,
    safe_checkpoints,
)
from train.environment import Folders, nnunet
from train.preprocess import preprocess

PLANS = "crowdqcPlans"
FINAL, LATEST, BEST = (f"checkpoint_{name}.pth" for name in ("final", "latest", "best"))


def check_device(device: str) -> None:
    """Refuse to train on what this machine does not have.

    Parameters
    ----------
    device : {"cuda", "cpu", "mps"}
        The study file's ``[train] device``.

    Raises
    ------
    InputError
        If it is a GPU that torch does not find here.
    """
    import torch

    if (device == "cuda" and not torch.cuda.is_available()) or (
        device == "mps" and not torch.backends.mps.is_available()
    ):
        raise InputError(
            f"[train] device is '{device}', and torch finds no such GPU on this machine. Train "
            "where there is one ('crowdqc slurm' or --engine), or on the CPU, which takes days "
            "where a GPU takes hours: --device cpu."
        )


def prepare(folders: Folders, dataset: str, *, settings: Train, seed: int = 0) -> bool:
    """Fingerprint, plan and preprocess a dataset, unless that was done with the same.

    Parameters
    ----------
    folders : Folders
        Where nnU-Net keeps its files.
    dataset : str
        Name of the raw dataset's folder.
    settings : Train
        The study file's ``[train]``.
    seed : int
        Of training; written into the plans.

    Returns
    -------
    bool
        Whether anything had to be done.

    Raises
    ------
    InputError
        If the dataset is not there, or nnU-Net finds no plan of the wanted configuration.
    """
    raw = folders.raw / dataset
    if not (raw / "dataset.json").is_file():
        raise InputError(f"{raw}: there is no such dataset; run 'crowdqc dataset' first.")
    target = folders.preprocessed / dataset
    plans = target / f"{PLANS}.json"
    record = _record(raw, settings, seed=seed)
    before = _recorded(plans)
    if before == record:
        return False
    if before is None or any(before.get(key) != record[key] for key in ("data", "plan")):
        shutil.rmtree(target, ignore_errors=True)
        with nnunet(folders, workers=settings.workers, planning=True), without_links(target):
            preprocess(raw, settings, plans=PLANS)
    content = load_json(plans, dict)
    if settings.configuration not in content["configurations"]:
        known = ", ".join(content["configurations"])
        raise InputError(
            f"{dataset}: nnU-Net plans no '{settings.configuration}' for it, only {known}. "
            "Set [train] configuration."
        )
    _write_json(plans, content | {"crowdqc": record})
    return True


def train_fold(
    folders: Folders, dataset: str, *, fold: int | str, settings: Train, gpus: int = 1
) -> bool:
    """Train one fold and validate it; go on where it was killed, and do nothing if it is done.

    Parameters
    ----------
    folders, dataset
        As `prepare`, which must have been run.
    fold : int or "all"
        Fold to train.
    settings : Train
        As `prepare`.
    gpus : int
        GPUs that share each batch (nnU-Net's DDP); folds on one GPU each are more efficient.

    Returns
    -------
    bool
        Whether anything had to be done.

    Raises
    ------
    InputError
        If the dataset is not prepared, the fold does not exist, this machine lacks the device, or
        the results hold a training with other data or settings.
    """
    record = _recorded(folders.preprocessed / dataset / f"{PLANS}.json")
    if record is None:
        raise InputError(f"{dataset}: is not prepared; run 'crowdqc train --prepare' first.")
    _refuse_unknown_fold(folders, dataset, fold)
    model = model_folder(folders, dataset, settings)
    results = model / f"fold_{fold}"
    trained = _recorded(model / "plans.json")
    if trained not in (None, record):
        raise InputError(
            f"{model}: holds a training with other data or settings. Move it away to train "
            "anew, or put data and settings back to go on with it."
        )
    if is_trained(results):
        return False
    check_device(settings.device)
    check_prepared(folders.preprocessed / dataset, folders.preprocessed / dataset / f"{PLANS}.json")
    with (
        nnunet(folders, workers=settings.workers, compiling=settings.compile),
        safe_checkpoints(),
        without_links(folders.preprocessed / dataset, model),
    ):
        _run_training(dataset, fold, settings, gpus=gpus, results=results)
    seal(results / FINAL)
    return True


def predict(
    folders: Folders,
    dataset: str,
    *,
    output: Path,
    settings: Train,
    images: Path | None = None,
    folds: Sequence[int | str] | None = None,
) -> list[Path]:
    """Predict the test images with folds that are trained, their mean deciding.

    Parameters
    ----------
    folders, dataset
        As `prepare`.
    output : Path
        Folder for the predictions, ``<case>.nii.gz``, with the dataset's label numbers.
    settings : Train
        As `prepare`.
    images : Path, optional
        Folder of images ``<case>_0000.nii.gz``; the dataset's ``imagesTs`` if not given.
    folds : sequence of int or "all", optional
        Folds that predict; all that are trained, if not given.

    Returns
    -------
    list of Path
        The predictions, in order of name.

    Raises
    ------
    InputError
        If no fold is trained, one of `folds` is not, there is no image, or this machine lacks the
        device.
    """
    model = model_folder(folders, dataset, settings)
    trained = sorted(path.name[5:] for path in model.glob("fold_*") if is_trained(path))
    wanted = trained if folds is None else [str(fold) for fold in folds]
    if not wanted or not set(wanted) <= set(trained):
        missing = f"fold {', '.join(sorted(set(wanted) - set(trained)))}" if wanted else "no fold"
        state = "is not" if wanted else "is"
        raise InputError(
            f"{model}: {missing} {state} trained to the end; run 'crowdqc train' first."
        )
    source = images or folders.raw / dataset / "imagesTs"
    if not any(source.glob("*_0000.nii.gz")):
        raise InputError(f"{source}: holds no image to predict; set [dataset] test.")
    check_device(settings.device)
    output.mkdir(parents=True, exist_ok=True)
    check_plans(model / "plans.json")
    with (
        nnunet(folders, workers=settings.workers),
        safe_checkpoints(),
        without_links(model, output),
    ):
        _run_prediction(model, wanted, source=source, output=output, device=settings.device)
    return sorted(output.glob("*.nii.gz"))


def model_folder(folders: Folders, dataset: str, settings: Train) -> Path:
    """Where nnU-Net keeps the trained folds of a dataset.

    Parameters
    ----------
    folders, dataset, settings
        As `prepare`.

    Returns
    -------
    Path
        It need not exist.
    """
    return folders.results / dataset / f"{TRAINER}__{PLANS}__{settings.configuration}"


def is_trained(results: Path) -> bool:
    """Whether a fold was trained to the end and validated."""
    return (results / FINAL).is_file() and (results / "validation" / "summary.json").is_file()


def made_elsewhere(folders: Folders, dataset: str, settings: Train) -> bool:
    """Whether a fold that is trained is not as this user trained it.

    Parameters
    ----------
    folders, dataset, settings
        As `prepare`.

    Returns
    -------
    bool
        False while no fold is trained.
    """
    folds = model_folder(folders, dataset, settings).glob("fold_*")
    return any(is_trained(fold) and not is_sealed(fold / FINAL) for fold in folds)


def count_folds(folders: Folders, dataset: str) -> int:
    """Number of folds into which a dataset's training cases are split.

    Parameters
    ----------
    folders, dataset
        As `prepare`.

    Returns
    -------
    int
        0 for a dataset that has no splits, or is not there.
    """
    path = folders.raw / dataset / SPLITS
    return len(load_json(path, list)) if path.is_file() else 0


def commands(
    study: Path, sets: Iterable[str], *, folds: Sequence[int | str], extra: Sequence[str] = ()
) -> list[str]:
    """The commands that train a study, for a scheduler: preparation first, then the folds.

    Parameters
    ----------
    study : Path
        The study file.
    sets : iterable of str
        Datasets to train on.
    folds : sequence
        Folds to train.
    extra : sequence of str
        Further words for each command.

    Returns
    -------
    list of str
        First one line for each set that must be done before the others; then one for each set
        and fold, which may run at the same time.

    Examples
    --------
    >>> for line in commands(Path("s.toml"), ["filtered"], folds=[0, 1]):
    ...     print(line)
    crowdqc train s.toml --set filtered --prepare
    crowdqc train s.toml --set filtered --fold 0
    crowdqc train s.toml --set filtered --fold 1
    """
    sets = list(sets)
    words = [(name, ["--prepare"]) for name in sets]
    words += [(name, ["--fold", str(fold)]) for name in sets for fold in folds]
    return [
        shlex.join(["crowdqc", "train", str(study), "--set", name, *what, *extra])
        for name, what in words
    ]


def _record(raw: Path, settings: Train, *, seed: int) -> dict[str, Any]:
    """What a model depends on, as it is written into the plans."""
    digest = hashlib.sha256()
    for path in sorted(p for p in raw.rglob("*") if p.is_file() and "Ts" not in p.parent.name):
        digest.update(f"{path.relative_to(raw).as_posix()} {sha256(path)}\n".encode())
    return {
        "data": digest.hexdigest(),
        "plan": {
            "configuration": settings.configuration,
            "features": settings.features,
            "memory_gb": settings.memory_gb,
        },
        "training": {
            "epochs": settings.epochs,
            "iterations": settings.iterations,
            "optimizer": settings.optimizer,
            "save_every": settings.save_every,
            "mirror": settings.mirror,
            "seed": seed,
        },
    }


def _recorded(plans: Path) -> dict[str, Any] | None:
    if not plans.is_file():
        return None
    record = load_json(plans, dict).get("crowdqc")
    return record if isinstance(record, dict) else None


def _run_training(
    dataset: str, fold: int | str, settings: Train, *, gpus: int, results: Path
) -> None:
    import torch
    from nnunetv2.run.run_training import run_training

    done = (results / FINAL).is_file()
    begun = any((results / name).is_file() for name in (LATEST, BEST))
    run_training(
        dataset,
        settings.configuration,
        fold,
        trainer_class_name=TRAINER,
        plans_identifier=PLANS,
        num_gpus=gpus,
        continue_training=begun and not done,
        only_run_validation=done,
        device=torch.device(settings.device),
    )


def _run_prediction(
    model: Path, folds: Sequence[str], *, source: Path, output: Path, device: str
) -> None:
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(device=torch.device(device), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(model), folds, FINAL)
    predictor.predict_from_files_sequential(str(source), str(output))


def _refuse_unknown_fold(folders: Folders, dataset: str, fold: int | str) -> None:
    n = count_folds(folders, dataset)
    if fold != "all" and not (isinstance(fold, int) and 0 <= fold < n):
        raise InputError(f"{dataset}: has the folds 0 to {n - 1} and 'all'; got {fold!r}.")


def _write_json(path: Path, content: object) -> None:
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
