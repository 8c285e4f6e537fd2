"""What a stage is, when it must run again, and which stages run before it.

A stage reads files (of the study and of the stages before it), and writes files into the
study's folder of results. A stage whose stamp (`crowdqc.stages.stamps`) is the one on record is
up to date.
"""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from crowdqc.catalogue import STAGES, StageInfo
from crowdqc.config import Config
from crowdqc.findings import Finding, InputError, Severity, Verdict
from crowdqc.stages.stamps import make_stamp
from crowdqc.store import Store


@dataclass(frozen=True)
class Result:
    """What a stage returns."""

    table: pd.DataFrame
    """The result, whole."""
    summary: str
    """One sentence for people."""
    shown: pd.DataFrame
    """What of it fits on a terminal."""
    files: list[str] = field(default_factory=list)
    """Files that were written, relative to the folder of results."""
    verdict: Verdict = Verdict.ACCEPT
    """``reject`` ends the command with exit code 3."""
    findings: list[Finding] = field(default_factory=list)
    """What was noticed; written by the stage."""

    def showing(self, table: pd.DataFrame) -> Result:
        """The same result with another table in the place of its own."""
        return dataclasses.replace(self, table=table, shown=table)


Progress = Callable[[int, int], None]
"""Called with how much was done since the last call, and how much there is to do in all."""

Watch = Callable[[str], AbstractContextManager[Progress]]
"""Shows how far long work of a title is."""


def unwatched(title: str) -> AbstractContextManager[Progress]:  # noqa: ARG001
    """Progress that nobody looks at."""
    return nullcontext(lambda *_: None)


@dataclass(frozen=True)
class Run:
    """One study being run: its file, its results, and where to say what happens."""

    config: Config
    store: Store
    say: Callable[[str], None]
    watch: Watch = unwatched
    stamps: dict[str, str] = field(default_factory=dict, repr=False)
    """Stamps as they were when first asked for, until a stage has run."""
    elsewhere: bool = False
    """Whether results go elsewhere than the study file says, so that its history stays as it is."""
    kept: dict[str, Any] = field(default_factory=dict, repr=False)
    """What stages have read and matched, until the tables that it was read from are new."""


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline; what else is known of it stands in `crowdqc.catalogue`.

    Parameters
    ----------
    name : str
        Its name in the catalogue.
    run : callable
        Does the work and writes the files.
    inputs : callable
        Files of the user that it reads.
    depends : callable
        Hash of what else it depends on, such as a part of a file.
    results : tuple of str
        Files in the folder of results that may change without the stages that it needs.
    applies : callable
        Whether the study asks for this stage at all.
    """

    name: str
    run: Callable[[Run], Result]
    inputs: Callable[[Config], Iterable[str | Path]] = lambda config: []  # noqa: ARG005
    depends: Callable[[Config], str] = lambda config: ""  # noqa: ARG005
    results: tuple[str, ...] = ()
    applies: Callable[[Config], bool] = lambda config: True  # noqa: ARG005

    @property
    def needs(self) -> tuple[str, ...]:
        """Stages that must be done before."""
        return STAGES[self.name].needs

    @property
    def sections(self) -> tuple[str, ...]:
        """Sections of the study file on which the result depends."""
        return STAGES[self.name].sections


_CHANGED = "The study file, a file or a result that it was made from has changed since."
_EDITED = "A file of it is not what crowdqc wrote here, or was edited since."
_UNFINISHED = "The stage that writes it was stopped, so its files may be of two runs."


class Pipeline:
    """Stages by name, in the order in which a study goes through them."""

    def __init__(self, stages: Iterable[Stage]) -> None:
        self.stages = {stage.name: stage for stage in stages}

    def run(self, name: str, run: Run) -> Result:
        """Run a stage, and before it those it needs that are not up to date."""
        run.store.claim()
        stage = self.stages[name]
        if stage.applies(run.config):  # else it says at once what it lacks
            self.prepare(name, run)
        result = self._finish(stage, run)
        return doubted(result, run.store.untrusted(name))

    def prepare(self, name: str, run: Run) -> None:
        """Run the stages that a stage needs and that are not up to date."""
        for need in self.stages[name].needs:
            self.ensure(need, run)

    def ensure(self, name: str, run: Run) -> Result | None:
        """Run a stage unless it is up to date or does not apply; the stages before it too."""
        stage = self.stages[name]
        if not stage.applies(run.config):
            return None
        for need in stage.needs:
            self.ensure(need, run)
        if self.is_current(name, run):
            return None
        run.say(f"crowdqc {name} ...")
        result = self._finish(stage, run)
        run.say(textwrap.indent(result.summary, "  "))
        return result

    def refuse_behind(self, name: str, run: Run) -> None:
        """Refuse parts of the work whose stage before them is not up to date.

        Raises
        ------
        InputError
            If the stage `name` has not run on the study as it is: a part runs no other stage.
        """
        if not self.is_current(name, run):
            raise InputError(
                f"{run.store.folder}: '{STAGES[name].command}' has not run on the study as it is "
                f"now. Run crowdqc {STAGES[name].command} before the shards, which run side by "
                "side and repeat no stage."
            )

    def is_current(self, name: str, run: Run) -> bool:
        """Whether the result of a stage is there, as it was written, and of the study as it is."""
        if run.store.stamp_of(name) != self.stamp(name, run):
            return False
        for file in run.store.changed(name):
            run.say(
                f"{run.store.path(file)}: is not what 'crowdqc {STAGES[name].command}' wrote (its "
                "SHA-256 is another one), so it is not used and must be made again."
            )
        return not run.store.changed(name)

    def repair(self, run: Run) -> None:
        """Run the stages again whose files are no longer what they wrote."""
        for name in self.stages:
            if run.store.stamp_of(name) is not None and run.store.changed(name):
                self.ensure(name, run)

    def stale(self, run: Run) -> dict[str, str]:
        """Stages whose results in the folder are not those of the study as it is now, and why.

        Returns
        -------
        dict of str to str
            Name of a stage -> a sentence for people, in the order of the catalogue. Stages that
            have left nothing are not in it.
        """
        found: dict[str, str] = {}
        for name, info in STAGES.items():
            older = [need for need in info.needs if need in found]
            why = ""
            if name in self.stages and run.store.stamp_of(name) is not None:
                why = "" if self.is_current(name, run) else _CHANGED
            elif name in self.stages and _left(run, info):
                why = _UNFINISHED
            elif name not in self.stages and _left(run, info) and run.store.edited(name):
                why = _EDITED
            if older and (why or _left(run, info)):
                why = f"It rests on older results of: {', '.join(older)}."
            if why:
                found[name] = why
        return found

    def stamp(self, name: str, run: Run) -> str:
        """Hash of everything that the result of a stage depends on."""
        if name not in run.stamps:
            run.stamps[name] = self._stamp(self.stages[name], run)
        return run.stamps[name]

    def _stamp(self, stage: Stage, run: Run) -> str:
        needs = [need for need in stage.needs if self.stages[need].applies(run.config)]
        also = [stage.depends(run.config)]
        return make_stamp(
            stage.name,
            run.config,
            store=run.store,
            sections=stage.sections,
            inputs=stage.inputs(run.config),
            results=stage.results,
            needs=[*(self.stamp(need, run) for need in needs), *filter(None, also)],
        )

    def _finish(self, stage: Stage, run: Run) -> Result:
        stamp = self.stamp(stage.name, run)
        run.store.begin(stage.name)
        result = stage.run(run)
        run.stamps.clear()  # a stage may write what another one reads
        if stage.name == "check":
            run.kept.clear()
        run.store.set_stamp(stage.name, stamp, result.files, needs=stage.needs)
        return result


def _left(run: Run, info: StageInfo) -> bool:
    """Whether a stage has left something in the folder of results."""
    return bool(info.table) and any(
        run.store.path(f"{info.table}{ending}").exists() for ending in (".csv", ".json")
    )


def doubted(result: Result, untrusted: Sequence[str]) -> Result:
    """A result that says so where it rests on what this user did not make on this machine.

    Parameters
    ----------
    result : Result
        Of a stage.
    untrusted : sequence of str
        Stages of whose results this user has no signature.
    """
    if not untrusted:
        return result
    return dataclasses.replace(
        result,
        summary=f"{result.summary}\nResults of {', '.join(untrusted)} were not made by you on this "
        "machine, so nothing is accepted on their account. Make them again by --fresh, or say "
        "--trust-results.",
    )


def worst(findings: Iterable[Finding]) -> Verdict:
    """``reject`` where a finding rejects, else ``accept``: what ends with exit code 3."""
    rejects = any(finding.severity is Severity.REJECT for finding in findings)
    return Verdict.REJECT if rejects else Verdict.ACCEPT


def duration(seconds: float) -> str:
    """A time for people, to two of its units.

    Examples
    --------
    >>> [duration(s) for s in (0.4, 59.6, 61, 3600, 90061)]
    ['0 s', '1 min', '1 min 1 s', '1 h', '1 d 1 h']
    """
    left = round(seconds)
    parts: list[tuple[int, str]] = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or parts:
            parts.append((count, unit))
    shown = [f"{count} {unit}" for count, unit in parts[:2] if count]
    return " ".join(shown) or "0 s"
