"""Everything in a folder of results, read once, and without what must not leave the machine."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

import crowdqc
from crowdqc.catalogue import STAGES
from crowdqc.config import Config, Publication
from crowdqc.files import Unreadable, read_json, sha256
from crowdqc.findings import Finding, InputError, from_cell, to_cell
from crowdqc.judge.manifest import read_outline
from crowdqc.links import STATE
from crowdqc.schema import TABLES, empty, natural_order
from crowdqc.store import Store, findings_file

MANIFEST = "manifest.json"
_UNUSED = ("source",)
"""Columns that no report shows; the lines of millions of boxes take gigabytes."""

_POSIX_PATH = re.compile(r"(?<![\w.:/~])/(?:[^\s/'\":;,]+/)+(?=[^\s/'\":;,])")
_CLIMBING_PATH = re.compile(r"(?:\.\./)+(?:[^\s/'\":;,]+/)*(?=[^\s/'\":;,])")
_WINDOWS_PATH = re.compile(r"\b[A-Za-z]:\\(?:[^\s\\'\":;,]+\\)*")


@dataclass(frozen=True)
class StageFinding:
    """A finding and the stage that made it."""

    stage: str
    finding: Finding


@dataclass(frozen=True)
class SourceFile:
    """A file that the report was made from."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Results:
    """What the stages wrote."""

    study: str
    labels: tuple[str, ...]
    tables: Mapping[str, pd.DataFrame] = field(repr=False)
    findings: tuple[StageFinding, ...] = field(repr=False)
    manifest: Mapping[str, Any]
    """Without the boxes that may be used, unless there are masks."""
    stages: tuple[str, ...]
    files: tuple[SourceFile, ...]
    version: str
    """Version of crowdqc that wrote the results."""
    n_prompts: int | None = None
    """Number of the boxes that may be used; None where the gate did not decide."""
    allowed: tuple[str, ...] | None = None
    """Licences of weights that the study file allows, where it is known."""
    has_volumes: bool = True
    """Whether masks can be drawn: the study file names volumes, or is not known."""
    has_truth: bool = True
    """Whether masks can be scored."""
    level: float | None = None
    """Level of the intervals, where the study file is known."""
    publication: Publication = field(default_factory=Publication)
    """What the study file says for those who read of the study."""

    def has(self, table: str) -> bool:
        """Whether a table was written."""
        return table in self.tables

    def has_run(self, stage: str) -> bool:
        """Whether a stage has left what shows that it has run."""
        table = STAGES[stage].table
        return bool(self.manifest) if table == "manifest" else self.has(table)

    def table(self, name: str) -> pd.DataFrame:
        """A table; without rows where it was not written."""
        return self.tables[name] if name in self.tables else empty(name)

    def by_label(self, frame: pd.DataFrame, *more: str) -> dict[str, pd.DataFrame]:
        """Rows of each label that has some, in the order of the study, then of `more`."""
        groups = {label: frame[frame["label"] == label] for label in (*self.labels, *more)}
        return {label: group for label, group in groups.items() if len(group)}

    def of(self, stage: str) -> list[Finding]:
        """Findings of one stage."""
        return [found.finding for found in self.findings if found.stage == stage]

    @functools.cached_property
    def raters(self) -> list[str]:
        """Everybody who read something, in natural order: the order of their colours."""
        return self._names("rater", "readings", "boxes", "raters")

    @functools.cached_property
    def cases(self) -> list[str]:
        """All cases, in natural order."""
        return self._names("case", "images", "completeness", "consensus")

    def _names(self, column: str, *tables: str) -> list[str]:
        names = [set(self.table(name)[column].unique()) for name in tables]
        return natural_order(set().union(*names) - {""})


def read_results(store: Store, config: Config | None = None) -> Results:
    """Read what a folder of results holds.

    Parameters
    ----------
    store : Store
        The folder.
    config : Config, optional
        The study file: gives the order of labels, and the folder that paths are written
        relative to.

    Raises
    ------
    InputError
        If a file in it is damaged.
    """
    tables = {name: store.read(name, without=_UNUSED) for name in TABLES if store.has(name)}
    labels = config.label_names if config else _labels(tables)
    clean = cleaner(store, config)
    tables = {name: _clean_table(name, table, clean) for name, table in tables.items()}
    state = _json(store, STATE)
    manifest, boxes = read_verdicts(store)
    if "masks" in tables:  # pictures show the boxes that these were drawn from
        manifest = _json(store, MANIFEST)
    return Results(
        study=store.study,
        labels=labels,
        tables=tables,
        findings=tuple(_findings(store, clean)),
        manifest=_clean_json(manifest, clean),
        n_prompts=sum(boxes.values()) if manifest else None,
        stages=tuple(stage for stage in STAGES if stage in state.get("stages", {})),
        files=tuple(_files(store)),
        version=str(state.get("crowdqc", crowdqc.__version__)),
        allowed=config.masks.allow_licences if config else None,
        has_volumes=config is None or config.images.path is not None,
        has_truth=config is None or bool(config.truth and config.truth.path),
        level=config.agree.level if config else None,
        publication=config.publication if config else Publication(),
    )


def read_verdicts(store: Store) -> tuple[dict[str, Any], dict[str, int]]:
    """What the gate decided, and how many boxes of each case may be used; empty without a gate.

    Raises
    ------
    InputError
        If the manifest is damaged.
    """
    path = store.path(MANIFEST)
    if not path.is_file():
        return {}, {}
    try:
        return read_outline(path)
    except Unreadable as error:
        raise InputError(f"{MANIFEST} {error} Run the stage that writes it again.") from error


def cleaner(store: Store, config: Config | None) -> Callable[[str], str]:
    """Function that takes absolute paths out of a text, and leaves names of files.

    Parameters
    ----------
    store : Store
        Its folder is taken out, as are the current and the home folder.
    config : Config or None
        The folder of the study file is taken out first.
    """
    roots = [store.folder.resolve(), Path.cwd(), Path.home()]
    if config is not None:
        roots.insert(0, config.file.resolve().parent)
    prefixes = sorted({f"{root}/" for root in roots} - {"//"}, key=len, reverse=True)

    def clean(text: str) -> str:
        if "/" not in text and "\\" not in text:
            return text
        for prefix in prefixes:
            text = text.replace(prefix, "")
        text = _CLIMBING_PATH.sub("…/", text)
        return _WINDOWS_PATH.sub("…/", _POSIX_PATH.sub("…/", text))

    return clean


def _clean_table(name: str, table: pd.DataFrame, clean: Callable[[str], str]) -> pd.DataFrame:
    """Texts for people may quote a path; names of cases, raters and labels are kept."""
    lists = name == "raters"
    texts = [column for column in ("reasons", "why") if column in table.columns]
    cleaned = (lambda cell: to_cell(_clean_json(from_cell(cell), clean))) if lists else clean
    return table.assign(**{column: table[column].map(cleaned) for column in texts})


def _clean_json(value: Any, clean: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {clean(key): _clean_json(part, clean) for key, part in value.items()}
    if isinstance(value, list):
        return [_clean_json(part, clean) for part in value]
    return clean(value) if isinstance(value, str) else value


def _findings(store: Store, clean: Callable[[str], str]) -> list[StageFinding]:
    found = []
    for stage in STAGES:
        for finding in store.read_findings(stage):
            source = None if finding.source is None else clean(finding.source)
            found.append(
                StageFinding(stage, replace(finding, message=clean(finding.message), source=source))
            )
    return found


def _files(store: Store) -> list[SourceFile]:
    names = [f"{table}.csv" for table in TABLES] + [findings_file(stage) for stage in STAGES]
    paths = [store.path(name) for name in [*names, MANIFEST]]
    return [SourceFile(p.name, p.stat().st_size, sha256(p)) for p in paths if p.is_file()]


def _labels(tables: Mapping[str, pd.DataFrame]) -> tuple[str, ...]:
    names = [set(table["label"].unique()) for table in tables.values() if "label" in table.columns]
    return tuple(natural_order(set().union(*names) - {""}))


def _json(store: Store, name: str) -> dict[str, Any]:
    path = store.path(name)
    if not path.is_file():
        return {}
    try:
        data = read_json(path, below=store.folder)
    except Unreadable as error:
        raise InputError(f"{name} {error} Run the stage that writes it again.") from error
    return data if isinstance(data, dict) else {}
