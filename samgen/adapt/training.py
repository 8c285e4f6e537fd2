"""Trainings that go on where they were stopped.

After each step a file holds the scores, the best that was learned, and all that the next step
depends on. It is written whole or not at all; one that was damaged, or that another user wrote, is
not opened, and the training begins anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Protocol

from crowdqc.trust import is_sealed, seal, seal_of


class Training(NamedTuple):
    """How far a training has come."""

    scores: list[list[float]]
    """Of each step, from the model as it was, on each held-out case."""
    kept: Any
    """Snapshot of the best step."""


class Resumable(Protocol):
    """What can be saved and go on."""

    def save(self, training: Training, path: Path) -> None:
        """Write how far it has come."""
        ...

    def restore(self, path: Path) -> Training:
        """Be as it was when the file was written."""
        ...


def save_training(learner: Resumable, training: Training, path: Path | None) -> None:
    """Write a training, where there is a file for it.

    Parameters
    ----------
    learner : Resumable
    training : Training
    path : Path or None
    """
    if path is not None:
        learner.save(training, path)
        seal(path)


def resume_training(learner: Resumable, path: Path | None) -> Training | None:
    """Bring a learner where it was stopped; None where this user left no such training.

    Parameters
    ----------
    learner : Resumable
        As it begins.
    path : Path or None
    """
    return learner.restore(path) if path is not None and is_sealed(path) else None


def forget_training(path: Path) -> None:
    """Remove the file of a training that has ended."""
    for file in (path, seal_of(path)):
        file.unlink(missing_ok=True)
