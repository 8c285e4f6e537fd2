"""Training and testing on all the datasets of a study: what `crowdqc train` calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from crowdqc.config import Config, Train, load_config
from crowdqc.engine import LOCAL, Engine
from crowdqc.files import load_json
from crowdqc.findings import Finding, InputError
from crowdqc.schema import conform, empty
from train.dataset import DESCRIPTION, read_licences
from train.environment import Folders
from train.evaluate import ScoredCase, score_masks
from train.preflight import preflight
from train.run import (
    commands,
    count_folds,
    is_trained,
    made_elsewhere,
    model_folder,
    predict,
    prepare,
    train_fold,
)
from train.study import dataset_name

Say = Callable[[str], None]
PREDICTIONS = "predictions"
"""Folder of predictions, one folder a set in it."""


def known_folds(config: Config, folders: Folders, name: str) -> range:
    """Folds of a dataset.

    Parameters
    ----------
    config : Config
        Of the study file.
    folders : Folders
        Of nnU-Net.
    name : str
        One of `crowdqc.config.DatasetName`.

    Returns
    -------
    range
        From 0.

    Raises
    ------
    InputError
        If there is no such dataset, or it has none.
    """
    dataset = _existing(config, folders, name).name
    n = count_folds(folders, dataset)
    if not n:
        raise InputError(
            f"{dataset}: has no folds: one patient cannot be cross-validated. Annotate more "
            "patients; --fold all trains on all cases, without validation."
        )
    return range(n)


def check_sets(config: Config, folders: Folders, sets: Sequence[str]) -> list[Finding]:
    """What would break or spoil the training on some datasets: see `train.preflight`.

    Parameters
    ----------
    config : Config
        Of the study file.
    folders : Folders
        Of nnU-Net.
    sets : sequence of str
        As `name` of `known_folds`.
    """
    findings = find_licences(config, folders, sets)
    for name in sets:
        folder = _existing(config, folders, name)
        findings += preflight(folder, settings=config.train, patient=config.dataset.patient)
    return findings


def find_licences(config: Config, folders: Folders, sets: Sequence[str]) -> list[Finding]:
    """Datasets of masks whose weights have a licence that the study does not allow (any more).

    Parameters
    ----------
    config, folders, sets
        As `check_sets`.

    Returns
    -------
    list of Finding
        One for each such dataset, naming licences, setting and remedy.
    """
    findings = []
    for name in sets:
        path = _existing(config, folders, name) / DESCRIPTION
        refused = sorted(set(read_licences(path.parent)) - set(config.masks.allow_licences))
        if refused:
            message = (
                f"{path}: its masks were drawn with weights of the licence {', '.join(refused)}, "
                f"which [masks] allow_licences of {config.file} does not name. It may bind models "
                "trained on them: name it there, or draw the masks with another model and build "
                "the dataset again, by crowdqc dataset."
            )
            findings.append(Finding(check="preflight-licence", message=message))
    return findings


def prepare_sets(config: Config, folders: Folders, sets: Sequence[str], *, say: Say) -> None:
    """Plan and preprocess datasets, where that has not been done.

    Parameters
    ----------
    config : Config
        Of the study file.
    folders : Folders
        Of nnU-Net.
    sets : sequence of str
        As `name` of `known_folds`.
    say : callable
        Gets a line of text for each step.
    """
    for name in sets:
        dataset = _existing(config, folders, name).name
        say(f"preparing {dataset} ...")
        done = prepare(folders, dataset, settings=config.train, seed=config.study.seed)
        say("  prepared" if done else "  was prepared already")


def list_commands(
    config: Config,
    folders: Folders,
    sets: Sequence[str],
    *,
    folds: Sequence[int | str] = (),
    settings: Mapping[str, object],
) -> list[str]:
    """The commands that train these datasets: see `train.run.commands`.

    Parameters
    ----------
    config, folders, sets
        As `train_sets`.
    folds : sequence of int or "all"
        Folds; every one if none is given.
    settings : mapping
        Settings of ``[train]`` that the commands shall change; those that are `None` do not.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    extra = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    if folders.base != load_config(config.file).out:
        extra += ["--out", str(folders.base)]
    prepared, folded = [], []
    for name in sets:
        wanted = folds or known_folds(config, folders, name)
        first, *rest = commands(config.file, [name], folds=wanted, extra=extra)
        prepared.append(first)
        folded += rest
    return prepared + folded


def fold_tasks(
    config: Config, folders: Folders, sets: Sequence[str], *, folds: Sequence[int | str] = ()
) -> list[tuple[str, int | str]]:
    """Set and fold of each training.

    Parameters
    ----------
    config : Config
        Of the study file.
    folders : Folders
        Of nnU-Net.
    sets : sequence of str
        As `name` of `known_folds`.
    folds : sequence of int or str
        Numbers, or ``"all"``; every fold of each set if empty.
    """
    return [(name, fold) for name in sets for fold in folds or known_folds(config, folders, name)]


def train_sets(
    config: Config,
    folders: Folders,
    folds: Sequence[tuple[str, int | str]],
    *,
    gpus: int = 1,
    engine: Engine = LOCAL,
    say: Say,
) -> pd.DataFrame:
    """Train folds of datasets; those that are done are left as they are.

    Parameters
    ----------
    config : Config
        The study file.
    folders : Folders
        Where nnU-Net keeps its files.
    folds : sequence of tuple
        Set, prepared, and fold of it, as `fold_tasks` gives them.
    gpus : int
        GPUs for each fold.
    engine : Engine
        Where the folds are trained: one after the other, or each on a machine of a cluster.
    say : callable
        Where to say what happens.

    Returns
    -------
    DataFrame
        ``set, dataset, fold, state, dice, folder``: ``state`` is ``trained`` or ``was trained``,
        ``dice`` nnU-Net's mean over labels and validation cases.
    """
    tasks = {
        _called(config, name, fold): (name, dataset_name(config, name), fold)
        for name, fold in folds
    }
    say(f"training {len(tasks)} folds ...")
    states = engine.run(
        partial(_open_trainer, Folders(folders.base.absolute()), config.train, gpus),
        tasks,
        done=lambda task, state: say(f"  {task}: {state}"),
    )
    return pd.DataFrame(
        [
            {
                "set": name,
                "dataset": dataset,
                "fold": str(fold),
                "state": state,
                **_validated(folders, dataset, config, fold=fold),
            }
            for (name, dataset, fold), state in zip(tasks.values(), states, strict=True)
        ],
        columns=["set", "dataset", "fold", "state", "dice", "folder"],
    )


def untrained(config: Config, folders: Folders, sets: Sequence[str]) -> list[str]:
    """Folds of datasets that are not trained to their end, as messages call them.

    Parameters
    ----------
    config : Config
        Of the study file.
    folders : Folders
        Of nnU-Net.
    sets : sequence of str
        As `name` of `known_folds`.
    """
    return [
        _called(config, name, fold)
        for name, fold in fold_tasks(config, folders, sets)
        if not is_trained(
            model_folder(folders, dataset_name(config, name), config.train) / f"fold_{fold}"
        )
    ]


def _called(config: Config, name: str, fold: int | str) -> str:
    return f"{dataset_name(config, name)}, fold {fold}"


def _open_trainer(
    folders: Folders, settings: Train, gpus: int
) -> Callable[[tuple[str, str, int | str]], str]:
    """What trains one fold, and says whether it had to be."""

    def train(task: tuple[str, str, int | str]) -> str:
        _, dataset, fold = task
        new = train_fold(folders, dataset, fold=fold, settings=settings, gpus=gpus)
        return "trained" if new else "was trained"

    return train


def _validated(
    folders: Folders, dataset: str, config: Config, *, fold: int | str
) -> dict[str, object]:
    """Where a trained fold is, and nnU-Net's mean Dice over its validation cases."""
    model = model_folder(folders, dataset, config.train) / f"fold_{fold}"
    return {
        "dice": _validation_dice(model),
        "folder": model.relative_to(folders.base).as_posix(),
    }


def evaluate_sets(
    config: Config,
    folders: Folders,
    sets: Sequence[str],
    *,
    truth: Mapping[str, Path],
    say: Say,
) -> tuple[pd.DataFrame, list[Finding]]:
    """Predict the test cases with the models of each dataset and score them.

    Parameters
    ----------
    config, folders, sets
        As `train_sets`.
    truth : mapping of str to Path
        Case and its expert mask.
    say : callable
        As `train_sets`.

    Returns
    -------
    scores : DataFrame
        Table `scores`; the sets are called ``nnunet-filtered`` and so on.
    findings : list of Finding
        As `train.evaluate.score_masks`.

    Raises
    ------
    InputError
        If a test case has no expert mask, or a dataset no trained fold.
    """
    absent = [case for case in config.dataset.test if case not in truth]
    if absent:
        raise InputError(
            f"[dataset] test: there is no expert mask of {', '.join(absent)}. Give [truth] path "
            "for them, or leave them out."
        )
    tables, findings = [empty("scores")], []
    for name in sets:
        dataset = _existing(config, folders, name).name
        say(f"predicting with {dataset} ...")
        output = folders.base / PREDICTIONS / name
        predict(folders, dataset, output=output, settings=config.train)
        cases = [
            ScoredCase(case=case, mask=output / f"{case}.nii.gz", truth=truth[case])
            for case in config.dataset.test
        ]
        table, found = score_masks(
            cases,
            set_name=f"nnunet-{name}",
            labels={label: number for number, label in enumerate(config.label_names, start=1)},
            truth_values=config.truth_values,
            tolerances_mm=config.tolerances_mm,
            plane=config.images.plane,
        )
        tables.append(table)
        findings += found
    return conform("scores", pd.concat(tables, ignore_index=True)), findings


def any_made_elsewhere(config: Config, folders: Folders, sets: Sequence[str]) -> bool:
    """Whether a model of these datasets is not as this user trained it.

    Parameters
    ----------
    config : Config
        Of the study file.
    folders : Folders
        Of nnU-Net.
    sets : sequence of str
        As `name` of `known_folds`.
    """
    names = [_existing(config, folders, name).name for name in sets]
    return any(made_elsewhere(folders, name, config.train) for name in names)


def _existing(config: Config, folders: Folders, name: str) -> Path:
    folder = folders.raw / dataset_name(config, name)
    if not folder.is_dir():
        raise InputError(
            f"{folder}: there is no such dataset; put '{name}' into [dataset] sets and run "
            "'crowdqc dataset'."
        )
    return folder


def _validation_dice(model: Path) -> float:
    """nnU-Net's mean Dice over the validation cases of a fold; nan where it has none."""
    path = model / "validation" / "summary.json"
    try:
        dice = load_json(path, dict)["foreground_mean"]["Dice"]
        return float(dice) if dice is not None else np.nan
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: is not what nnU-Net writes ({error!r}).") from error
