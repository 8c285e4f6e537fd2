"""One file a slice: which there are, and whose reading of which slice each of them is."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from crowdqc.config import Config
from crowdqc.findings import Finding
from crowdqc.formats import patterns
from crowdqc.formats.draft import FAULTS_MAX, SLICE_MAX, bad_line, file_finding
from crowdqc.formats.files import relative_names
from crowdqc.formats.labels import CLASS_LISTS
from crowdqc.formats.raters import asked, check_raters
from crowdqc.formats.times import file_times
from crowdqc.text import count

STRAYS_MANY, STRAYS_SHARE = 3, 0.1
"""So many files, and more than this share of all, are more than a forgotten one."""


class SliceFiles:
    """Files with one slice each, as the pattern of ``[annotations] path`` finds them.

    Attributes
    ----------
    paths, names : list of str
        Each file, and how messages name it.
    cases, slices, raters : list
        What its path says; the rater is `None` where the path does not say it.
    half_read : set of int
        Files of which some part was left out: they are no empty readings.
    verified : set of int
        Files that say that somebody looked: without a box there is nothing.
    findings : list of Finding
        Files that are no slice, or the same one as another.
    """

    def __init__(self, config: Config, *, not_slices: Collection[str] = ()) -> None:
        check_raters(config)
        self.config = config
        self.half_read: set[int] = set()
        self.verified: set[int] = set()
        self.findings: list[Finding] = []
        self._faults: Counter[int] = Counter()
        found = _without(patterns.find(config.resolve(config.annotations.path)), not_slices)
        self.findings += strays(found, config)
        self.paths: list[str] = []
        self.names: list[str] = []
        self.cases: list[str] = []
        self.slices: list[int] = []
        self.raters: list[str | None] = []
        self._add(found)

    def __len__(self) -> int:
        return len(self.paths)

    def drew(self, files: Sequence[int], labels: Sequence[str]) -> list[str | None]:
        """Who drew each box, by its file or else by its label."""
        annotations = self.config.annotations
        if patterns.has(annotations.path, "rater"):
            return [self.raters[file] for file in files]
        return [annotations.rater_of.get(label, annotations.rater) for label in labels]

    def refuse(self, file: int, problem: str) -> None:
        """Note that a file cannot be read: it says nothing about its slice."""
        name = self.names[file]
        self.half_read.add(file)
        self.findings.append(file_finding("file-unreadable", name, problem))

    def fault(self, file: int, line: int, fault: tuple[str, str]) -> None:
        """Note that a line is left out, with check and message: of very many only the first."""
        self.half_read.add(file)
        self._faults[file] += 1
        if self._faults[file] <= FAULTS_MAX:
            check, message = fault
            where = {"case": self.cases[file], "slice": self.slices[file]}
            source = f"{self.names[file]}:{line}"
            self.findings.append(bad_line(check, message, source, **where))

    def readings(self, sizes: Sequence[tuple[float, float]] = ()) -> pd.DataFrame:
        """A reading of each file by all who were asked; states are still to be inferred.

        `sizes` are the rows and columns of each file's image (nan: not stated).
        """
        known = dict.fromkeys(self.verified, "reviewed_empty") | dict.fromkeys(
            self.half_read, "opened"
        )
        state = [known.get(file, "") for file in range(len(self))]
        table = pd.DataFrame({"case": self.cases, "slice": self.slices, "path": self.paths})
        table = table.assign(rater=self.raters, labels="", state=state)
        if not np.isnan(sizes).all():
            table[["height", "width"]] = sizes
        if not patterns.has(self.config.annotations.path, "rater"):
            everyone = asked(self.config)
            who = pd.DataFrame(
                {"rater": everyone.keys(), "labels": everyone.values()}, dtype=object
            )
            table = table.drop(columns=["rater", "labels"]).merge(who, how="cross")
        self.findings += self._more_faults()
        if self.config.annotations.file_times:
            time, findings = file_times(table["path"], table["rater"])
            self.findings += findings
            table = table if time is None else table.assign(time=time)
        return table.drop(columns="path")

    def _more_faults(self) -> list[Finding]:
        more = {self.names[file]: n - FAULTS_MAX for file, n in self._faults.items()}
        return [
            file_finding("more-lines", name, f"left out: {count(n, 'more line')}.")
            for name, n in more.items()
            if n > 0
        ]

    def _add(self, found: patterns.Matches) -> None:
        """Take the first file of each case, slice and rater; a finding for each other."""
        n = len(found.names)
        names = relative_names(found.names, self.config)
        cases = found.fields.get("case", [self.config.study.name] * n)
        slices = [slice_number(text) for text in found.fields.get("slice", ["0"] * n)]
        raters = found.fields.get("rater", [None] * n)
        first: dict[tuple[str, int, str | None], int] = {}
        for k, (case, slice_, rater) in enumerate(zip(cases, slices, raters, strict=True)):
            if slice_ is None:
                self.findings.append(file_finding("slice-number", names[k], _TOO_LARGE))
                continue
            one = first.setdefault((case, slice_, rater), k)
            if one != k:
                message = (
                    f"is the same slice as {names[one]}, which is used. Remove one, or make "
                    "[annotations] path tell them apart."
                )
                self.findings.append(file_finding("slice-twice", names[k], message))
        for (case, slice_, rater), k in first.items():
            self.paths.append(found.names[k])
            self.names.append(names[k])
            self.cases.append(case)
            self.slices.append(slice_)
            self.raters.append(rater)


def _without(found: patterns.Matches, names: Collection[str]) -> patterns.Matches:
    """Files but those of some names; of these and of the strays, lists of classes are read."""
    base = [os.path.basename(path).lower() for path in found.names]  # noqa: PTH119 - many files
    keep = [name not in names for name in base]
    more = (Path(one) for one, kept in zip(found.names, keep, strict=True) if not kept)
    return patterns.Matches(
        list(itertools.compress(found.names, keep)),
        {key: list(itertools.compress(values, keep)) for key, values in found.fields.items()},
        [path for path in (*found.strays, *more) if path.name.lower() not in CLASS_LISTS],
    )


def slice_number(text: str) -> int | None:
    """The slice that digits say; `None` where no volume has so many."""
    number = int(text[:20])
    return number if number <= SLICE_MAX and len(text) <= 20 else None


def strays(found: patterns.Matches, config: Config) -> list[Finding]:
    """A finding about files beside those that fit the pattern.

    Parameters
    ----------
    found : Matches
        Files that were looked for, and those beside them.
    config : Config
        Of the study file.

    Returns
    -------
    list of Finding
        One for all such files, or none: ``files-not-in-pattern`` where they are so many that
        somebody's work may be among them, else ``file-not-in-pattern``.
    """
    if not found.strays:
        return []
    n = len(found.strays)
    many = bool(found.fields) and n >= STRAYS_MANY and n > STRAYS_SHARE * (n + len(found.names))
    first = list(relative_names(found.strays[:3], config))
    names = ", ".join(first) + (f" and {n - 3} more" if n > 3 else "")
    message = (
        f"not read, since not as '{config.annotations.path}' says, but beside the annotations: "
        f"{count(n, 'file')}: {names}."
    )
    if many:
        message += (
            " That is more than a tenth of all: if boxes stand in them, name them alike, or change "
            "[annotations] path so that it fits all (* stands for anything)."
        )
    check = "files-not-in-pattern" if many else "file-not-in-pattern"
    return [Finding(check=check, message=message, value=float(n), source=first[0])]


_TOO_LARGE = f"its slice number is larger than {SLICE_MAX}, which is none. Rename the file."
