"""What a model is shown of a case whose truth is known, and how well it draws it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from crowdqc.volumes import to_pictures
from samgen.adapt.gold import GoldCase, Spread, TrueObject, Truth, objects_in, prompts_of
from samgen.case import Case, Task
from samgen.settings import MaskSettings, PromptSettings
from samgen.volume_predictor import Volume


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is the same for all cases of a study.

    Parameters
    ----------
    labels : Mapping
        Label -> value in the masks.
    truth_values : Mapping
        Label -> value in the truth.
    single : Mapping
        Label -> whether a slice holds one such object at most.
    masks : MaskSettings
        How masks are drawn; one box for each object is asked here.
    spread : Spread
    seed : int
    """

    labels: Mapping[str, int]
    truth_values: Mapping[str, int]
    single: Mapping[str, bool]
    masks: MaskSettings
    spread: Spread
    seed: int

    def reading(self, values: Mapping[str, int]) -> Setting:
        """The same for a case whose truth has other values."""
        return replace(self, truth_values=values)

    @property
    def settings(self) -> MaskSettings:
        """How masks are drawn of one box each."""
        return replace(self.masks, prompts=PromptSettings(n_prompts=1, prompt_boxes="fused"))


class Example:
    """A case whose truth is known, read.

    Parameters
    ----------
    case : GoldCase
    fused : DataFrame
        Rows of the table ``consensus`` of the case.
    setting : Setting
    """

    def __init__(self, case: GoldCase, fused: pd.DataFrame, setting: Setting) -> None:
        self.case, self._setting = case, setting
        self.truth: Truth = case.read()
        self.objects = list(
            objects_in(case, self.truth, setting.truth_values, single=setting.single)
        )
        self.prompts = prompts_of(
            case, self.objects, fused, spread=setting.spread, seed=setting.seed
        )

    @cached_property
    def volume(self) -> Volume:
        """Its volume, as annotated pictures show it."""
        return self._asked(self.prompts, predictor=None).read()

    def _asked(self, prompts: pd.DataFrame, predictor: Any) -> Case:
        setting = self._setting
        rank = {label: n for n, label in enumerate(setting.labels)}
        order = prompts["label"].map(rank)
        ordered = prompts.assign(_rank=order).sort_values(["slice", "_rank"], kind="stable")
        task = Task(labels=setting.labels, predictor=predictor, settings=setting.settings)
        return Case(self.case.name, ordered.drop(columns="_rank"), self.case.image, task)

    def dice(self, model: Any, *, every: int = 1) -> dict[str, float]:
        """Dice of each label as `crowdqc masks` would draw it, on the slices whose truth is known.

        Parameters
        ----------
        model : BoxPredictor or VolumePredictor
        every : int
            Only each of so many slices is drawn and scored.

        Returns
        -------
        dict of str to float
            In ``[0, 1]``. Labels that the case does not have are not in it.
        """
        chosen = self.prompts[self.prompts["slice"] % every == 0]
        if chosen.empty:
            chosen = self.prompts
        labels = self._asked(chosen, model).draw(lambda _: None)[1]
        drawn = to_pictures(labels, self._setting.masks.picture)
        return {
            label: self._dice_of(label, drawn, sorted(set(rows["slice"])))
            for label, rows in chosen.groupby("label", sort=False)
        }

    def _dice_of(self, label: str, drawn: Any, slices: Sequence[int]) -> float:
        setting = self._setting
        true = self.truth[slices] == setting.truth_values[label]
        found = drawn[slices] == setting.labels[label]
        return 2 * int((true & found).sum()) / (int(true.sum()) + int(found.sum()))


def mean_dice(example: Example, model: Any) -> float:
    """Mean over the labels of a case of their Dice.

    Parameters
    ----------
    example : Example
    model : BoxPredictor or VolumePredictor
    """
    return float(np.mean(list(example.dice(model).values())))


def pictures_of(objects: Sequence[TrueObject]) -> list[tuple[int, list[TrueObject]]]:
    """Slices with their objects, in order."""
    found: dict[int, list[TrueObject]] = {}
    for one in objects:
        found.setdefault(one.slice, []).append(one)
    return sorted(found.items())
