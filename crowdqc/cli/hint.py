"""What to call next: the last line that a stage says on a terminal."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from crowdqc.findings import Verdict

if TYPE_CHECKING:
    from crowdqc.stages import Result

_NEXT = {
    "simulate": "crowdqc check {study}",
    "check": "crowdqc agree {study}",
    "agree": "crowdqc complete {study}",
    "fuse": "crowdqc gate {study}",
    "complete": "crowdqc gate {study}",
    "gate": "crowdqc report {study}",
    "masks": "crowdqc report {study}",
    "dataset": "crowdqc train {study} --check",
    "evaluate": "crowdqc report {study}",
}
_OPEN = {
    "check": "mend the lines named above, then crowdqc check {study}",
    "complete": "crowdqc complete {study} --todo, for the work list of each rater",
    "gate": "crowdqc gate {study} --explain NAME says why; crowdqc report {study} shows it",
}
"""Where there is something to mend first."""


def hint(stage: str, study: Path, result: Result) -> str:
    """A line with the command that comes next; "" after a stage that ends the work.

    Parameters
    ----------
    stage : str
        Name of the command that has run.
    study : Path
        The study file, as it was given.
    result : Result
        What the stage found.
    """
    ways = _OPEN if stage in _OPEN and _unsettled(stage, result) else _NEXT
    line = ways.get(stage, "").format(study=shlex.quote(str(study)))
    return f"Next: {line}" if line else ""


def _unsettled(stage: str, result: Result) -> bool:
    """Whether the stage found something to mend."""
    if stage == "complete":
        return bool(len(result.shown))
    if stage == "gate":
        return bool((result.table["verdict"] != Verdict.ACCEPT.value).any())
    return result.verdict is Verdict.REJECT
