"""Training with nnU-Net on the datasets of a study: check, prepare, print, train, test.

No stage of the pipeline, because hours of training should not start by themselves.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pandas as pd

from crowdqc.engine import LOCAL, open_engine
from crowdqc.findings import Finding, InputError, Severity, Verdict
from crowdqc.schema import empty
from crowdqc.stages.base import Result, Run, doubted, worst
from crowdqc.stages.dataset import too_few
from crowdqc.stages.evaluate import has_truth, score_summary
from crowdqc.stages.extras import load
from crowdqc.stages.study import write_findings
from crowdqc.stages.truth import truth_files
from crowdqc.text import count


@dataclass(frozen=True, kw_only=True)
class TrainingRequest:
    """What of a training is wanted.

    Parameters
    ----------
    action : {"train", "check", "prepare", "print", "test", "merge"}
        What to do.
    sets : tuple of str
        Datasets; those of ``[dataset] sets`` where none is given.
    folds : tuple of int or "all"
        Folds; every one where none is given.
    shard : tuple of int, optional
        Train this part of the folds and nothing else; its number, from 1, and how many there are.
    gpus : int
        GPUs for each fold.
    settings : dict
        What of ``[train]`` options have changed, for the commands of ``print``; `None`: nothing.
    """

    action: str = "train"
    sets: tuple[str, ...] = ()
    folds: tuple[int | str, ...] = ()
    shard: tuple[int, int] | None = None
    gpus: int = 1
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Work:
    run: Run
    experiment: ModuleType
    folders: Any
    sets: Sequence[str]
    request: TrainingRequest


def train(run: Run, request: TrainingRequest) -> Result:
    """Do one step of a training.

    Parameters
    ----------
    run : Run
        The study.
    request : TrainingRequest
        Which step, of which datasets and folds.

    Returns
    -------
    Result
        A row for each fold, dataset or score.

    Raises
    ------
    InputError
        If there is no such dataset, its masks were drawn with weights whose licence the study does
        not allow, or nnU-Net is not installed.
    """
    experiment, config = load("train.experiment"), run.config
    sets = request.sets or config.dataset.sets
    unknown = [name for name in sets if name not in config.dataset.sets]
    if unknown:
        raise InputError(f"{unknown} are not in [dataset] sets, {list(config.dataset.sets)}.")
    few = too_few(config)
    if few and request.action != "check" and not request.folds:
        raise InputError(f"{config.file}: {few}")
    folders = load("train.environment").Folders(run.store.folder)
    work = _Work(run, experiment, folders, sets, request)
    if request.action in _USES_DATA and run.store.edited("dataset"):
        raise InputError(
            f"{run.store.folder / 'nnUNet_raw'}: is not, or is not known to be, what 'crowdqc "
            "dataset' wrote. Run that again before anything is trained on it."
        )
    if request.action != "check":
        _refuse_licences(work)
    result = _ACTIONS[request.action](work)
    return doubted(result, run.store.untrusted("train"))


def _refuse_licences(work: _Work) -> None:
    found = work.experiment.find_licences(work.run.config, work.folders, work.sets)
    if found:
        raise InputError("\n".join(finding.message for finding in found))


def _check(work: _Work) -> Result:
    few = too_few(work.run.config)
    if few:
        message = f"{work.run.config.file}: {few}"
        findings = [Finding(check="few-cases", message=message)]
    else:
        findings = work.experiment.check_sets(work.run.config, work.folders, work.sets)
    findings = write_findings(work.run, "train", findings)
    rows = [(f.severity.value, f.check, f.case or "", f.message) for f in findings]
    table = pd.DataFrame(rows, columns=["severity", "check", "case", "message"])
    bad = sum(finding.severity is not Severity.NOTE for finding in findings)
    return Result(
        table=table,
        shown=table[["severity", "case", "message"]],
        summary=f"{count(bad, 'finding')} in {count(len(work.sets), 'dataset')}.",
        findings=findings,
        verdict=worst(findings),
    )


def _prepare(work: _Work) -> Result:
    work.experiment.prepare_sets(work.run.config, work.folders, work.sets, say=work.run.say)
    table = pd.DataFrame({"set": list(work.sets), "state": "prepared"})
    return Result(table=table, shown=table, summary=f"Prepared: {count(len(table), 'dataset')}.")


def _print(work: _Work) -> Result:
    lines: list[str] = work.experiment.list_commands(
        work.run.config,
        work.folders,
        work.sets,
        folds=work.request.folds,
        settings=work.request.settings,
    )
    table, n = pd.DataFrame({"command": lines}), len(work.sets)
    summary = f"First {count(n, 'preparation')}, then {count(len(lines) - n, 'fold')}."
    return Result(table=table, shown=table, summary=summary)


def _train(work: _Work) -> Result:
    request, config = work.request, work.run.config
    if not request.folds:
        for name in work.sets:
            work.experiment.known_folds(config, work.folders, name)
    engine = open_engine(config.engine, gpus=request.gpus if config.train.device == "cuda" else 0)
    if engine is LOCAL and work.experiment.untrained(config, work.folders, work.sets):
        load("train.run").check_device(config.train.device)  # before hours of preparation
    if request.shard is None:
        _prepare(work)
    folds = work.experiment.fold_tasks(config, work.folders, work.sets, folds=request.folds)
    number, n = request.shard or (1, 1)
    table: pd.DataFrame = work.experiment.train_sets(
        config,
        work.folders,
        folds[number - 1 :: n],
        gpus=request.gpus,
        engine=engine,
        say=work.run.say,
    )
    summary = f"Trained: {count(len(table), 'fold')}, in nnUNet_results/."
    result = Result(table=table, shown=table.drop(columns=["folder", "dataset"]), summary=summary)
    whole = request.shard is None and not request.folds
    if whole and config.dataset.test and has_truth(config):
        tested = _test(work)
        return dataclasses.replace(result, summary=f"{summary} {tested.summary}")
    return result


def _merge(work: _Work) -> Result:
    """What a training ends with, once all folds are trained by shards."""
    left = work.experiment.untrained(work.run.config, work.folders, work.sets)
    if left:
        raise InputError(
            f"{work.run.store.folder}: {count(len(left), 'fold')} not trained to the end: "
            f"{', '.join(left)}. Run the shards that are missing, or crowdqc train."
        )
    return _train(work)


def _test(work: _Work) -> Result:
    scores, findings = work.experiment.evaluate_sets(
        work.run.config,
        work.folders,
        work.sets,
        truth=truth_files(work.run.config),
        say=work.run.say,
    )
    work.run.store.write("model_scores", scores)
    findings += _compare(work, scores)
    findings = write_findings(work.run, "train", findings)
    _record(work)
    volumes = scores[scores["slice"].isna()]
    shown = volumes.pivot_table(index="label", columns="set", values="dice", sort=False)
    return Result(
        table=scores,
        shown=shown.reset_index(),
        summary="Test cases: "
        + score_summary(
            volumes,
            findings,
            cases=work.run.config.dataset.test,
            sets=[f"nnunet-{name}" for name in work.sets],
        ),
        findings=findings,
        verdict=Verdict.ACCEPT if len(volumes) else Verdict.REJECT,
    )


def _record(work: _Work) -> None:
    """Record what was written, and whether it rests on a model that came from elsewhere."""
    elsewhere = work.experiment.any_made_elsewhere(work.run.config, work.folders, work.sets)
    work.run.store.set_stamp(
        "train", "", _SCORES, needs=("dataset",), doubted=["train"] if elsewhere else []
    )


def _compare(work: _Work, scores: pd.DataFrame) -> list[Finding]:
    """Write how each set scores beside the first one, and return what was noticed."""
    from crowdqc.compare import compare_scores

    first, *others = scores["set"].unique()
    seed = work.run.config.study.seed
    compared = [compare_scores(scores, names=(name, first), seed=seed) for name in others]
    tables = [table for table, _ in compared] or [empty("model_comparison")]
    work.run.store.write("model_comparison", pd.concat(tables, ignore_index=True))
    return [finding for _, found in compared for finding in found]


_USES_DATA = {"prepare", "train", "merge"}
_SCORES = ("model_scores.csv", "model_comparison.csv")
_ACTIONS: dict[str, Callable[[_Work], Result]] = {
    "check": _check,
    "prepare": _prepare,
    "print": _print,
    "merge": _merge,
    "train": _train,
    "test": _test,
}

__all__ = ["TrainingRequest", "train"]
