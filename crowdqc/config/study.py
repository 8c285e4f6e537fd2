"""The whole study file, what its sections ask of each other, and how it is read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pydantic
from pydantic import Field

from crowdqc.config.inputs import (
    Annotations,
    Assignments,
    Images,
    Label,
    Publication,
    StudySection,
    Truth,
)
from crowdqc.config.methods import (
    Adapt,
    Agree,
    Dataset,
    EngineSettings,
    Fuse,
    Gate,
    Limits,
    Masks,
    Match,
    Simulate,
    Train,
)
from crowdqc.config.toml import Section, defaulted, expand, nearest_or_all, read_toml, validate
from crowdqc.findings import InputError

SIMULATED = "simulated/{rater}/{case}-slice{slice}.txt"
"""Where `crowdqc simulate` writes, below the folder of results."""


class Config(Section):
    """A whole study file."""

    study: StudySection
    labels: dict[str, Label] = Field(min_length=1)
    annotations: Annotations
    assignments: Assignments = Assignments()
    images: Images = Images()
    truth: Truth | None = None
    match: Match = Match()
    agree: Agree = Agree()
    fuse: Fuse = Fuse()
    masks: Masks = Masks()
    adapt: Adapt = Adapt()
    gate: Gate = Gate()
    simulate: Simulate | None = None
    dataset: Dataset = Dataset()
    train: Train = Train()
    engine: EngineSettings = EngineSettings()
    limits: Limits = Limits()
    publication: Publication = Publication()

    _file: Path = pydantic.PrivateAttr(default=Path("study.toml"))

    @property
    def file(self) -> Path:
        """The study file itself."""
        return self._file

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels, in the order of the file."""
        return tuple(label.name for label in self.labels.values())

    @property
    def label_values(self) -> dict[str, int]:
        """Label -> its value in masks."""
        return {label.name: label.value for label in self.labels.values()}

    @property
    def truth_values(self) -> dict[str, int]:
        """Label -> its value in expert masks."""
        return self.label_values | (self.truth.values if self.truth else {})

    @property
    def tolerances_mm(self) -> dict[str, float]:
        """Label -> distance of surfaces that counts as no error."""
        truth = self.truth or Truth()
        return dict.fromkeys(self.label_names, truth.tolerance_mm) | truth.tolerances_mm

    @property
    def out(self) -> Path:
        """The folder of results."""
        return self.resolve(self.study.out)

    def resolve(self, path: str) -> Path:
        """`path` of the study file as a path: variables filled in, relative to the file.

        Raises
        ------
        InputError
            If a variable is not set and its default is no folder, or the path holds a NUL
            character.
        """
        text = expand(path)
        for name, default in defaulted(path).items():
            if path.startswith(f"${{{name}:-") and not (self.file.parent / default).exists():
                raise InputError(
                    f"{self.file}: '{path}' needs the environment variable {name}, which is not "
                    f"set, and its default {default} is not there. Set {name} to the folder of "
                    "the data."
                )
        if "\0" in text:
            raise InputError(f"{self.file}: the path {path!r} holds a NUL character; no file does.")
        return Path(os.path.normpath(self.file.parent / text))

    @pydantic.model_validator(mode="before")
    @classmethod
    def _simulated(cls, data: Any) -> Any:
        """Simulated annotations lie in the folder of results, where nobody else's are.

        Their raters write an empty file only for what they have read and found empty.
        """
        if isinstance(data, dict) and "simulate" in data and "annotations" not in data:
            study = data.get("study")
            out = study.get("out", "out") if isinstance(study, dict) else "out"
            made = {"format": "yolo", "path": f"{out}/{SIMULATED}", "empty_file": "nothing"}
            return {**data, "annotations": made}
        return data

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Config:
        names = self.label_names
        if len(names) > self.limits.labels:
            raise ValueError(
                f"labels has {len(names)} entries, more than {self.limits.labels}. Where that is "
                "right, set [limits] labels in the study file"
            )
        _refuse_twice("names of labels", names)
        also = [text for label in self.labels.values() for text in label.also]
        keys = [key for key in self.labels if key in also and key not in self.labels[key].also]
        _refuse_twice("names of labels and what stands in 'also'", [*names, *also, *keys])
        _refuse_twice("values of labels", [label.value for label in self.labels.values()])
        for where, used in self._labels_used().items():
            for name in used:
                if name not in names:
                    hint = nearest_or_all(name, names)
                    raise ValueError(f"{where} names the label '{name}'{hint}")
        return self

    def _labels_used(self) -> dict[str, list[str]]:
        used = {"annotations.rater_of": list(self.annotations.rater_of)}
        if self.truth:
            used["truth.values"] = list(self.truth.values)
            used["truth.tolerances_mm"] = list(self.truth.tolerances_mm)
        if self.simulate:
            for rater, faults in self.simulate.raters.items():
                used[f"simulate.raters.{rater}.swap"] = list(faults.swap or ())
                used[f"simulate.raters.{rater}.omit"] = faults.omit
        return used


Changes = dict[str, dict[str, Any]]
"""Section -> key -> value to take instead of the study file's; `None` changes nothing."""


def load_config(path: Path, *, changes: Changes | None = None) -> Config:
    """Read and check a study file.

    Parameters
    ----------
    path : Path
        The TOML file.
    changes : dict of dict, optional
        Values to take instead of the file's, from options of the command line.

    Returns
    -------
    Config
        Frozen; paths in it are relative to the file.

    Raises
    ------
    InputError
        If it cannot be read, is no TOML, or breaks a rule: each fault on a line of its
        own, with the path of the key, the value, the rule and the nearest known key.
    """
    data = read_toml(path)
    for section, values in (changes or {}).items():
        given = {key: value for key, value in values.items() if value is not None}
        if given and isinstance(data.setdefault(section, {}), dict):
            data[section] |= given
    config = validate(Config, data, path)
    config._file = Path(path)  # noqa: SLF001
    return config


def _refuse_twice(what: str, values: Sequence[object]) -> None:
    twice = sorted(str(value) for value, n in Counter(values).items() if n > 1)
    if twice:
        raise ValueError(f"{what} must differ; more than once: {', '.join(twice)}")
