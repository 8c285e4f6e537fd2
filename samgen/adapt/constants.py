"""The embedded model learns: constants of each label, by coordinate search on the training cases.

Each step tries to make every constant larger or smaller by a factor. A label takes the change
that gains it most; where none gains, factors become smaller, until they are not worth it. All
labels are drawn together, so that a step costs as much for five of them as for one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crowdqc.files import read_json
from crowdqc.writing import atomic
from samgen.adapt.examples import Example
from samgen.adapt.training import Training
from samgen.cards import CONSTANTS
from samgen.settings import LEARNED, IntensitySettings

FACTOR, FACTOR_MIN = 2.0, 1.1
"""Factor by which constants are changed at first, and the smallest that is tried."""
RANGE = 8.0
"""Constants stay within this factor of what they are for every organ."""
GAIN_MIN = 0.001
"""Mean Dice that a change must gain on the training cases."""
OBJECTS_MAX = 600
"""Objects that a step draws again and again; of more, every second slice, third, and so on, or,
for a model of volumes, fewer cases."""

Constants = dict[str, float]


class ConstantsLearner:
    """Learns constants of an embedded model.

    Parameters
    ----------
    model : IntensityPredictor or Intensity3DPredictor
        As it was; what is learned of it is in `model`, always.
    examples : sequence of Example
        The cases that it learns from.
    """

    ending = CONSTANTS

    def __init__(self, model: Any, examples: Sequence[Example]) -> None:
        self.model = model
        n = sum(len(one.prompts) for one in examples)
        parts = max(1, math.ceil(n / OBJECTS_MAX))
        self._every = 1 if model.in_3d else parts
        self._examples = (
            list(examples)[: max(1, len(examples) // parts)] if model.in_3d else list(examples)
        )
        seen = {label for one in examples for label in one.prompts["label"].unique()}
        labels = sorted(seen | set(model.labels))
        self._found = {label: model.about(label).settings.learned() for label in labels}
        self._factor, self._score = FACTOR, self._dice(self._found)

    def step(self) -> bool:
        """Change a constant of each label; False where nothing more is gained."""
        while self._factor >= FACTOR_MIN:
            best: dict[str, tuple[float, Constants | None]] = {
                label: (score + GAIN_MIN, None) for label, score in self._score.items()
            }
            for change in [(n, f) for n in LEARNED for f in (self._factor, 1 / self._factor)]:
                tried = {label: _changed(one, *change) for label, one in self._found.items()}
                for label, score in self._dice(tried).items():
                    if score > best[label][0]:
                        best[label] = score, tried[label]
            gained = {label: one for label, (_, one) in best.items() if one is not None}
            if gained:
                self._found |= gained
                self._score |= {label: best[label][0] for label in gained}
                self.model = _having(self.model, self._found)
                return True
            self._factor = math.sqrt(self._factor)
        return False

    def snapshot(self) -> dict[str, Constants]:
        """What was learned so far, only what differs."""
        usual = IntensitySettings().learned()
        return {
            label: {name: value for name, value in one.items() if value != usual[name]}
            for label, one in self._found.items()
        }

    @staticmethod
    def write(snapshot: dict[str, Constants], path: Path) -> None:
        """Write a snapshot as a file that `samgen.cards.read_constants` reads."""
        with atomic(path) as temporary:
            text = json.dumps({"labels": snapshot}, indent=1, sort_keys=True)
            temporary.write_text(text + "\n", encoding="utf-8")

    def save(self, training: Training, path: Path) -> None:
        """Write the scores, the best snapshot, and the constants as they are."""
        record = {**training._asdict(), "found": self._found, "factor": self._factor}
        with atomic(path) as temporary:
            temporary.write_text(json.dumps(record | {"score": self._score}), encoding="utf-8")

    def restore(self, path: Path) -> Training:
        """Be as after the step when the file was written."""
        record = read_json(path)
        self._found, self._factor, self._score = (
            record[name] for name in ("found", "factor", "score")
        )
        self.model = _having(self.model, self._found)
        return Training(record["scores"], record["kept"])

    def _dice(self, tried: dict[str, Constants]) -> dict[str, float]:
        model = _having(self.model, tried)
        scores = [one.dice(model, every=self._every) for one in self._examples]
        return {
            label: float(np.mean(found))
            for label in tried
            if (found := [one[label] for one in scores if label in one])
        }


def _changed(constants: Constants, name: str, factor: float) -> Constants:
    usual = IntensitySettings().learned()[name]
    value = min(max(constants[name] * factor, usual / RANGE), usual * RANGE)
    return {**constants, name: value}


def _having(model: Any, found: dict[str, Constants]) -> Any:
    """The model with constants of its own for each label."""
    labels = {label: model.settings.having(one) for label, one in found.items()}
    return type(model)(settings=model.settings, labels={**model.labels, **labels})
