"""What a model is shown of a case whose truth is known, and how well it draws it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
import pandas as pd

from samgen.adapt.gold import GoldCase, Spread, TrueObject, Truth, objects_in, prompts_of
from samgen.case import Case, Task
from samgen.objects import Asking, objects_of
from samgen.settings import MaskSettings, PromptSettings
from samgen.slices import ObjectMask, has_contrast, resolve
from samgen.volume_predictor import ObjectPrompts, Volume


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
        nobody: Any = None
        task = Task(labels={}, predictor=nobody, settings=self._setting.settings)
        return Case(self.case.name, self.prompts, self.case.image, task).read()

    @cache  # noqa: B019 - an example lives as long as the run
    def _asked(self, every: int) -> tuple[pd.DataFrame, list[ObjectPrompts]]:
        """Rows of each so many slices, and the objects that are drawn of them."""
        table = self.prompts[self.prompts["slice"] % every == 0]
        table = (self.prompts if table.empty else table).reset_index(drop=True)
        asking = Asking(
            case=self.case.name,
            shape=self.volume.shape,
            settings=self._setting.settings,
            noise="sam",  # the one prompt is the box itself
        )
        prompts = list(asking.prompts_of(table))
        shown = [
            has_contrast(self.volume.pictures[k], one.box)
            for k, one in zip(table["slice"], prompts, strict=True)
        ]
        found = objects_of(table[shown], prompts, asking, empty={})
        return table, [one for _, one in found]

    def dice(self, model: Any, *, every: int = 1) -> dict[str, float]:
        """Dice of each label as `crowdqc masks` would draw it, on the slices whose truth is known.

        What does not depend on the model is made once.

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
        table, objects = self._asked(every)
        drawn = self._drawn(model, objects)
        return {
            label: self._dice_of(label, drawn, sorted(set(rows["slice"])))
            for label, rows in table.groupby("label", sort=False)
        }

    def _drawn(self, model: Any, objects: Sequence[ObjectPrompts]) -> Any:
        """Labels (planes, rows, columns) of the objects as a model draws them."""
        setting, volume = self._setting, self.volume
        task = Task(labels=setting.labels, predictor=model, settings=setting.settings)
        rank = {label: n for n, label in enumerate(setting.labels)}
        on_slice: dict[int, list[tuple[str, ObjectMask]]] = {}
        for one, items in zip(objects, task.draw(volume, objects, lambda _: None), strict=True):
            for k, item in items.items():
                on_slice.setdefault(k, []).append((one.label, item))
        labels = np.zeros(volume.pictures.shape, dtype=np.uint16)
        for k, found in on_slice.items():
            found.sort(key=lambda pair: rank[pair[0]])
            owner, _ = resolve([item for _, item in found], volume.shape)
            values = [setting.labels[label] for label, _ in found]
            labels[k] = np.array([*values, 0], dtype=np.uint16)[owner]
        return labels

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
