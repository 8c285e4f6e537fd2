"""Adapting a model: along a path of candidates, and only for what is better than before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from crowdqc.findings import InputError
from samgen.adapt.choose import Choice, choose, patient
from samgen.adapt.constants import ConstantsLearner
from samgen.adapt.examples import Example, mean_dice
from samgen.adapt.gold import Spread
from samgen.adapt.training import Resumable, Training, resume_training, save_training

Method = Literal["decoder", "lora"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a model learns.

    Parameters
    ----------
    method : {"decoder", "lora"}
        What of a model of tensors learns; an embedded model learns its constants.
    steps : int
        Most steps of the path: epochs, or changes of constants.
    rate : float
        Learning rate.
    rank : int
        Of the matrices of ``"lora"``.
    seed : int
    patience : int
        Steps after which the path ends where none of them was the best so far.
    """

    method: Method = "decoder"
    steps: int = 30
    rate: float = 1e-4
    rank: int = 8
    seed: int = 0
    patience: int = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What came of it.

    Parameters
    ----------
    choice : Choice
        The step that is kept, and the scores before and after.
    means : tuple of float
        Mean score of the held-out cases at each step.
    method : str
        ``"decoder"``, ``"lora"`` or ``"constants"``.
    ending : str
        Of the file that `write` writes.
    write : callable
        Writes what was learned up to that step into a file.
    """

    choice: Choice
    means: tuple[float, ...]
    method: str
    ending: str
    write: Callable[[Path], None] = field(repr=False)


class Learner(Resumable, Protocol):
    """Something that learns step by step."""

    ending: str
    """Of the file that it writes."""

    @property
    def model(self) -> Any:
        """The model as it is now."""
        ...

    def step(self) -> bool:
        """Learn; False where nothing more is to be learned."""
        ...

    def snapshot(self) -> Any:
        """A copy of what was learned so far."""
        ...

    def write(self, snapshot: Any, path: Path) -> None:
        """Write a snapshot into a file."""
        ...


def adapt_model(
    model: Any,
    examples: Sequence[Example],
    *,
    held_out: Sequence[Example],
    spread: Spread,
    plan: Plan,
    progress: Callable[[int, int], None] = lambda *_: None,
    checkpoint: Path | None = None,
) -> Outcome:
    """Let a model learn from some cases, as long as others say that it gets better.

    Parameters
    ----------
    model : BoxPredictor or VolumePredictor
        Opened for this: its tensors are changed.
    examples, held_out : sequence of Example
        The cases that it learns from, and those that it is scored by.
    spread : Spread
        How far boxes stray.
    plan : Plan
    progress : callable
        Called with steps done since the last call, and most of them in all.
    checkpoint : Path, optional
        File that holds the training after each step; where it is there, the training goes on from
        it. It must be one of the same model, cases and plan.

    Returns
    -------
    Outcome
        What was learned up to the best step, and the scores; nothing is written yet.

    Raises
    ------
    InputError
        If the model is none that can learn.
    """
    learner = learner_of(model, examples, spread=spread, plan=plan)
    training = resume_training(learner, checkpoint)
    if training is None:
        training = Training([_scores(held_out, model)], learner.snapshot())
    scores = training.scores
    progress(len(scores) - 1, plan.steps)
    while len(scores) <= plan.steps and patient(_means(scores), plan.patience):
        if not learner.step():
            break
        scores.append(_scores(held_out, learner.model))
        means = _means(scores)
        if means[-1] > means[:-1].max() + 1e-9:
            training = Training(scores, learner.snapshot())
        save_training(learner, training, checkpoint)
        progress(1, plan.steps)
    choice, kept = choose(np.array(scores)), training.kept
    return Outcome(
        choice=choice,
        means=tuple(_means(scores).tolist()),
        method="constants" if isinstance(learner, ConstantsLearner) else plan.method,
        ending=learner.ending,
        write=lambda path: learner.write(kept, path),
    )


def learner_of(model: Any, examples: Sequence[Example], *, spread: Spread, plan: Plan) -> Learner:
    """What lets a model learn.

    Parameters
    ----------
    model, examples, spread, plan
        As of `adapt_model`.

    Raises
    ------
    InputError
        If it is none of ours.
    """
    if hasattr(model, "settings") and hasattr(model, "labels"):
        if plan.method == "lora":
            raise InputError(
                f"[adapt] method must not be 'lora' for '{model.name}', which has no tensors."
            )
        return ConstantsLearner(model, examples)
    drawer = _drawer(model, plan)
    from samgen.adapt.tensors import TensorLearner

    return TensorLearner(drawer, examples, spread=spread, rate=plan.rate, seed=plan.seed)


def _drawer(model: Any, plan: Plan) -> Any:
    lora = {"rank": plan.rank, "seed": plan.seed}
    if hasattr(model, "sam"):
        from samgen.adapt.sam import LoraDrawer, SamDrawer

        return SamDrawer(model) if plan.method == "decoder" else LoraDrawer(model, **lora)
    if type(model).__module__ == "samgen.predictors.sam2":
        from samgen.adapt.sam2 import Sam2Drawer, Sam2LoraDrawer

        return Sam2Drawer(model) if plan.method == "decoder" else Sam2LoraDrawer(model, **lora)
    raise InputError(
        f"'{model.name}' cannot be adapted: only the embedded models, SAM, MedSAM, SAM 2 and "
        "MedSAM2 can. Name one of them in [masks] model, or by --model."
    )


def _scores(held_out: Sequence[Example], model: Any) -> list[float]:
    return [mean_dice(one, model) for one in held_out]


def _means(scores: list[list[float]]) -> Any:
    return np.array(scores).mean(axis=1)
