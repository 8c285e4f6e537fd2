"""The pipeline: the stages in order, and running them."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import crowdqc
from crowdqc.assignments.table import assignments_file
from crowdqc.catalogue import STAGES
from crowdqc.config import Changes, Config, load_config
from crowdqc.findings import InputError, Verdict
from crowdqc.formats import annotation_files
from crowdqc.packages.sent import returned_files
from crowdqc.stages.base import Pipeline, Result, Run, Stage, Watch, doubted, unwatched
from crowdqc.stages.images import has_volumes, input_files
from crowdqc.stages.study import calibrates, policy_of
from crowdqc.stages.truth import truth_files
from crowdqc.store import Store

if TYPE_CHECKING:
    from crowdqc.stages import (
        agree,
        check,
        complete,
        dataset,
        evaluate,
        forecast,
        fuse,
        gate,
        mask_sets,
        masks,
        report,
        rounds,
        settled,
        shown,
        simulate,
        status,
    )
else:

    class _Later:
        """A module of stages, whose libraries are imported when a function of it is called."""

        def __init__(self, name: str) -> None:
            self._name = f"crowdqc.stages.{name}"

        def __getattr__(self, name: str) -> Callable[..., Any]:
            def call(*args: Any, **words: Any) -> Any:
                return getattr(importlib.import_module(self._name), name)(*args, **words)

            return call

    agree, check, complete, dataset, evaluate, forecast, fuse = map(
        _Later, ("agree", "check", "complete", "dataset", "evaluate", "forecast", "fuse")
    )
    gate, mask_sets, masks, report, rounds = map(
        _Later, ("gate", "mask_sets", "masks", "report", "rounds")
    )
    settled, shown, simulate, status = map(_Later, ("settled", "shown", "simulate", "status"))

__all__ = [
    "BEFORE",
    "PIPELINE",
    "VIEWS",
    "Result",
    "masks_are_current",
    "open_run",
    "run_all",
]


def open_run(
    file: Path,
    *,
    out: Path | None = None,
    changes: Changes | None = None,
    say: Callable[[str], None],
    watch: Watch = unwatched,
) -> Run:
    """Open a study for running.

    Parameters
    ----------
    file : Path
        The study file.
    out : Path, optional
        Folder of results instead of ``[study] out``, relative to the working directory.
    changes : dict of dict, optional
        As for `crowdqc.config.load_config`.
    say : callable
        Called with a line of text for everything that happens.
    watch : callable
        Shows how far long work is.

    Returns
    -------
    Run
        The study and its folder of results.
    """
    where = {"study": {"out": None if out is None else str(out.absolute())}}
    config = load_config(file, changes={**(changes or {}), **where})
    policy_of(config)  # a policy that cannot be read is refused before any work
    store = Store(config.out, config.study.name)
    if store.written_by not in {None, crowdqc.__version__}:
        say(
            f"{store.folder} was written by crowdqc {store.written_by}; this is "
            f"{crowdqc.__version__}, so every stage runs again before its results are used."
        )
    return Run(config, store, say, watch, elsewhere=out is not None)


def run_all(run: Run) -> Result:
    """Run every stage that is not up to date; the result is the report, the verdict the gate's."""
    *before, last = PIPELINE.stages
    for name in before:
        PIPELINE.ensure(name, run)
    if has_volumes(run.config) and (few := dataset.too_few(run.config)):
        run.say(f"crowdqc dataset is left out: the study {few}")
    status.record(run, PIPELINE.stamp("gate", run)[:16])
    result = PIPELINE.run(last, run)
    verdict = gate.verdict_for_exit(mask_sets.read_manifest(run))
    untrusted = run.store.untrusted()
    return _refused(doubted(dataclasses.replace(result, verdict=verdict), untrusted), untrusted)


def masks_are_current(run: Run) -> bool:
    """Whether the masks in the folder of results are those of the study as it is now.

    A study without images has no masks of its own; those of others, which `crowdqc risk` judged,
    are taken as they are.
    """
    return not has_volumes(run.config) or PIPELINE.is_current("masks", run)


def _gate(run: Run) -> Result:
    needs = {"masks", "risk", "audit", *STAGES["gate"].needs}
    result = gate.gate(run, masks=masks_are_current(run))
    return _refused(result, [one for need in needs for one in run.store.untrusted(need)])


def _refused(result: Result, untrusted: Sequence[str]) -> Result:
    """A result that ends with exit code 3 where it rests on what was made elsewhere."""
    return dataclasses.replace(result, verdict=Verdict.REJECT) if untrusted else result


def write_report(run: Run, **form: Any) -> Result:
    """As `crowdqc.stages.report.write_report`, of results that are as they were written.

    Parameters
    ----------
    run : Run
        The study.
    **form
        What is written: form, charts, n_pictures, other.

    Returns
    -------
    Result
        With the path of the report.
    """
    PIPELINE.repair(run)
    if form.get("form", "html") == "html":  # no longer the page that `crowdqc run` wrote
        run.store.begin("report")
    return report.write_report(run, stale=PIPELINE.stale(run), **form)


def _annotations(config: Config) -> list[str | Path]:
    assigned = assignments_file(config)
    return [
        *annotation_files(config),
        *input_files(config),
        *_truth_at_hand(config),
        *([assigned] if assigned else []),
        *returned_files(config),
    ]


def _truth_at_hand(config: Config) -> list[Path]:
    try:
        return _truth(config)
    except InputError:  # which is a finding
        return []


def _truth(config: Config) -> list[Path]:
    return list(truth_files(config).values())


def _gold_boxes(config: Config) -> list[Path]:
    if config.truth is None or config.truth.boxes is None:
        return []
    return [config.resolve(config.truth.boxes)]


def _calibration(config: Config) -> list[Path]:
    return _gold_boxes(config) if calibrates(config) else []


def _policy(config: Config) -> list[Path]:
    return [] if config.gate.policy is None else [config.resolve(config.gate.policy)]


def _judged_by(config: Config) -> list[Path]:
    """The policy; grades of masks, too, where masks are not drawn from what the gate accepts."""
    return _policy(config) if has_volumes(config) else _judged_again_by(config)


def _judged_again_by(config: Config) -> list[Path]:
    return [*_policy(config), *settled.decision_files(config)]


def _drawn_from(config: Config) -> list[Path]:
    """What masks are drawn from: volumes, and the file and card of an adapted model."""
    return [*input_files(config), *masks.adapted_files(config)]


def _severities(config: Config) -> list[Path]:
    """The policy, where it says how grave findings are."""
    return _policy(config) if policy_of(config).severities else []


PIPELINE = Pipeline(
    [
        Stage("simulate", simulate.simulate, inputs=_truth, applies=simulate.is_simulated),
        Stage(
            "check",
            check.check,
            inputs=lambda config: [*_annotations(config), *_severities(config)],
        ),
        Stage(
            "agree",
            agree.agree,
            inputs=lambda c: [*_gold_boxes(c), *_policy(c), *shown.shown_files(c)],
            depends=settled.box_decisions,
        ),
        Stage(
            "fuse",
            fuse.fuse,
            inputs=lambda c: [*_calibration(c), *_severities(c), *shown.shown_files(c)],
            depends=settled.box_decisions,
        ),
        Stage(
            "complete",
            complete.complete,
            inputs=lambda c: [*_severities(c), *shown.shown_files(c)],
        ),
        Stage("gate", _gate, inputs=_judged_by),
        Stage("masks", masks.masks, inputs=_drawn_from, applies=has_volumes),
        Stage(
            "gate again", _gate, inputs=_judged_again_by, results=("risk.csv",), applies=has_volumes
        ),
        Stage("dataset", dataset.dataset, applies=dataset.applies),
        Stage("evaluate", evaluate.evaluate, inputs=_truth, applies=evaluate.has_truth),
        Stage("rounds", rounds.rounds, inputs=rounds.task_files, applies=rounds.has_rounds),
        Stage("report", write_report),
    ]
)
"""The stages that `crowdqc run` goes through, in the order of `crowdqc.catalogue`.

`gate` is asked twice: of boxes, before masks are drawn from them, and again of the masks.
"""


def draw_shard(run: Run, shard: tuple[int, int]) -> Result:
    """Draw the masks of a part of the cases, as `crowdqc.stages.masks.draw_shard`.

    Parameters
    ----------
    run : Run
        An opened study.
    shard : tuple of int
        Number of the part, from 1, and how many there are.

    Raises
    ------
    InputError
        If the gate has not decided on the study as it is: a part runs no stage before it.
    """
    PIPELINE.refuse_behind("gate", run)
    return masks.draw_shard(run, shard)


def _merge_shards(run: Run) -> Result:
    """The stage `masks`, where all masks are drawn already, as `forecast.refuse_undrawn` sees."""
    forecast.refuse_undrawn(run)
    return PIPELINE.run("masks", run)


VIEWS: dict[str, Callable[[Run], Result]] = {
    "next-raters": fuse.next_raters,
    "todo": complete.work_list,
    "dry-run": forecast.dry_run,
    "merge": _merge_shards,
}
"""Flag of a command -> what it shows instead of the result."""
BEFORE = {"dry-run", "merge"}
"""Flags that show what a stage would do: it is not run, but those that it needs are."""
