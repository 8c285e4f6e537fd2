"""``crowdqc adapt``: a model of masks learns from cases whose truth is known.

No stage of the pipeline: hours of training should not start by themselves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

import crowdqc
from crowdqc.decisions import decisions_file
from crowdqc.files import sha256
from crowdqc.findings import InputError, Verdict
from crowdqc.formats.files import relative
from crowdqc.fusion.members import with_members
from crowdqc.judge import USABLE
from crowdqc.stages.base import Progress, Result, Run
from crowdqc.stages.extras import load
from crowdqc.stages.gold import gold_cases
from crowdqc.stages.images import has_volumes
from crowdqc.stages.masks import mask_settings, refuse_licences
from crowdqc.stages.truth import truth_files
from crowdqc.text import count
from crowdqc.volumes import hash_volume

MODELS = "models"
"""Folder of adapted models in the folder of results."""


def adapt(run: Run) -> Result:
    """Let the model of ``[masks]`` learn, and write what beats it on the held-out cases.

    Parameters
    ----------
    run : Run
        The study, whose boxes are fused.

    Returns
    -------
    Result
        A row for each held-out case. The verdict is to reject where the model is not beaten; then
        nothing is written.

    Raises
    ------
    InputError
        If there is no truth, too little of it, or the model cannot learn.
    """
    config = run.config
    if not has_volumes(config):
        raise InputError(f"{config.file}: adapting needs volumes: give [images] path.")
    if config.masks.mode == "paper":
        raise InputError(f"{config.file}: adapting needs [masks] mode = 'best'.")
    refuse_licences(config)
    work = _Work(run)
    done = work.done()
    if done is not None:
        return _result(done.card, done.path)
    with run.watch("Steps") as progress:
        outcome = work.learn(progress)
    card, choice = work.card(outcome), outcome.choice
    path = run.store.path(f"{MODELS}/{work.name}{outcome.ending}") if choice.better else None
    if path is not None:
        outcome.write(path)
        load("samgen.cards").write_card(path, card)
    load("samgen.adapt.training").forget_training(work.checkpoint)
    return _result(card, path)


class _Work:
    """What a model learns from and is compared on, read."""

    def __init__(self, run: Run) -> None:
        self.run, self.config = run, run.config
        adapt, section = load("samgen.adapt"), run.config.adapt
        cases, graded = gold_cases(run)
        self.base = load("samgen.cards").find_adapted(self.config.masks.model)
        learned = [] if self.base is None else self.base.card["train"]
        self.train, self.held_out = adapt.deal_cases(
            {one.name: one.patient for one in cases},
            share=section.held_out,
            seed=self.config.study.seed,
            learned=[*learned, *graded],
        )
        self.cases = {one.name: one for one in cases}
        self.graded = graded

    @cached_property
    def fused(self) -> pd.DataFrame:
        """Fused boxes of the cases, with those of the raters."""
        table, boxes = self.run.store.read("consensus"), self.run.store.read("boxes")
        own = table["case"].isin(self.cases) & table["state"].isin(USABLE)
        drawn = boxes[boxes["case"].isin(self.cases)]
        return with_members(table[own], drawn, iou=self.config.match.iou)

    @cached_property
    def spread(self) -> Any:
        """How far raters stray."""
        return load("samgen.adapt.gold").measure_spread(self.fused)

    @cached_property
    def model(self) -> Any:
        """The model, opened to be changed."""
        section = self.config.masks
        request = load("samgen.predictor").ModelRequest(
            model=section.model,
            mode=section.mode,
            device=section.device,
            cache=self.run.store.path("embeddings").absolute(),
        )
        return load("samgen.predictors").open_predictor(request)

    @cached_property
    def data(self) -> dict[str, str]:
        """Hashes of what is learned from, and of what decides by which boxes."""
        truth = truth_files(self.config)
        files = {
            relative(truth[case], self.config): truth[case] for case in self.cases if case in truth
        }
        found = {name: sha256(path) for name, path in files.items()}
        for one in self.cases.values():
            found[relative(one.image, self.config)] = hash_volume(one.image)
        if self.graded:
            found["decisions.csv"] = sha256(decisions_file(self.config))
        shown = self.fused.drop(columns=["score"]).to_csv(index=False)
        return found | {"fused boxes": hashlib.sha256(shown.encode()).hexdigest()}

    @cached_property
    def made_from(self) -> dict[str, Any]:
        """Everything that the result depends on."""
        section = self.config.masks
        return {
            "crowdqc": crowdqc.__version__,
            "study": self.config.study.name,
            "seed": self.config.study.seed,
            "model": _lasting(section.model) if self.base is None else self.base.model,
            "base": getattr(self.model, "digest", "")
            if self.base is None
            else self.base.card["base"],
            "began_with": self.model.signature,
            "train": self.train,
            "held_out": self.held_out,
            "graded": self.graded,
            "data": self.data,
            "settings": {
                **self.config.adapt.model_dump(),
                "masks": str(mask_settings(self.config)),
            },
            "spread": {
                label: [round(float(value), 6) for value in share]
                for label, share in sorted(self.spread.labels.items())
            },
        }

    @property
    def name(self) -> str:
        """Name of the model: other inputs make another one."""
        text = json.dumps(self.made_from, sort_keys=True)
        model = Path(self.made_from["model"].partition(":")[0]).stem
        return f"{model}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    @property
    def checkpoint(self) -> Path:
        """File of a training that has not ended."""
        return self.run.store.path(f"{MODELS}/{self.name}.training")

    def done(self) -> Any:
        """The model, where it was made from the same before."""
        cards = load("samgen.cards")
        for ending in (cards.TENSORS, cards.CONSTANTS):
            path = self.run.store.path(f"{MODELS}/{self.name}{ending}")
            if path.is_file() and cards.card_path(path).is_file():
                return cards.find_adapted(str(path))
        return None

    def learn(self, progress: Progress) -> Any:
        """Read the cases and let the model learn."""
        config, module = self.config, load("samgen.adapt.run")
        setting = load("samgen.adapt.examples").Setting(
            labels=config.label_values,
            truth_values=config.truth_values,
            single={label.name: label.single for label in config.labels.values()},
            masks=mask_settings(config),
            spread=self.spread,
            seed=config.study.seed,
        )
        train, held_out = (
            [self._example(case, setting) for case in side] for side in (self.train, self.held_out)
        )
        self._refuse_bare(held_out)
        section = config.adapt
        plan = module.Plan(
            method=section.method,
            steps=section.steps,
            rate=section.rate,
            rank=section.rank,
            seed=config.study.seed,
        )
        return module.adapt_model(
            self.model,
            train,
            held_out=held_out,
            spread=self.spread,
            plan=plan,
            progress=progress,
            checkpoint=self.checkpoint,
        )

    def _example(self, case: str, setting: Any) -> Any:
        fused, gold = self.fused, self.cases[case]
        values = self.config.label_values if case in self.graded else setting.truth_values
        return load("samgen.adapt.examples").Example(
            gold, fused[fused["case"] == case], setting.reading(values)
        )

    def _refuse_bare(self, held_out: list[Any]) -> None:
        bare = [one.case.name for one in held_out if not one.objects]
        if bare:
            raise InputError(
                f"The expert mask of case {bare[0]} holds nothing that [labels] names, so that "
                "nothing can be compared on it. Mend [truth] values, or remove the mask."
            )

    def card(self, outcome: Any) -> dict[str, Any]:
        """What the card says, but for the hash of the file."""
        choice = outcome.choice
        gain, low, high = choice.gain
        return {
            **self.made_from,
            "licence": load("samgen.predictors").licence_of(self.config.masks.model),
            "method": outcome.method,
            "command": f"crowdqc adapt {self.config.file.name}",
            "steps": choice.step,
            "path": [round(one, 6) for one in outcome.means],
            "scores": {
                "measure": "Dice of a held-out case, mean over labels; after: by the step that the "
                "other held-out cases choose",
                "before": dict(zip(self.held_out, choice.before.round(6).tolist(), strict=True)),
                "after": dict(zip(self.held_out, choice.after.round(6).tolist(), strict=True)),
                "gain": round(gain, 6),
                "low": round(low, 6),
                "high": round(high, 6),
            },
        }


def _lasting(model: str) -> str:
    """A model's name; of one with a file, with a path that holds in any folder."""
    name, colon, file = model.rpartition(":")
    if not colon and not Path(file).expanduser().is_file():
        return model
    return f"{name}{colon}{Path(file).expanduser().absolute()}"


def _result(card: Mapping[str, Any], path: Path | None) -> Result:
    scores = card["scores"]
    table = pd.DataFrame({"case": card["held_out"]})
    for name in ("before", "after"):
        table[name] = table["case"].map(scores[name])
    table["difference"] = table["after"] - table["before"]
    before, after = table["before"].mean(), table["after"].mean()
    summary = (
        f"Dice of {count(len(table), 'held-out case')} {before:.3f}, after learning from "
        f"{count(len(card['train']), 'case')} {after:.3f}: {scores['gain']:+.3f} "
        f"(95 % interval {scores['low']:+.3f} to {scores['high']:+.3f}). "
    )
    if path is None:
        summary += (
            "That is no gain that the held-out cases show, so nothing is written, and "
            "[masks] model stays as it is."
        )
    else:
        summary += f'Written to {path}. To draw masks with it: [masks] model = "{path}"'
    return Result(
        table=table,
        shown=table,
        summary=summary,
        verdict=Verdict.REJECT if path is None else Verdict.ACCEPT,
    )
