"""One file a slice: which there are, and whose reading of which slice each of them is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from crowdqc.config import Config
from crowdqc.findings import Finding, Severity
from crowdqc.readers import patterns
from crowdqc.readers.draft import SLICE_MAX, bad_file
from crowdqc.readers.files import relative_names
from crowdqc.readers.raters import asked, check_raters
from crowdqc.readers.times import file_times


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
    findings : list of Finding
        Files that are no slice, or the same one as another.
    """

    def __init__(self, config: Config) -> None:
        check_raters(config)
        self.config = config
        self.half_read: set[int] = set()
        self.findings: list[Finding] = []
        pattern = config.resolve(config.annotations.path)
        found = patterns.find(pattern)
        self.findings += strays(found, config)
        self.paths: list[str] = []
        self.names: list[str] = []
        self.cases: list[str] = []
        self.slices: list[int] = []
        self.raters: list[str | None] = []
        self._add(found.files)

    def __len__(self) -> int:
        return len(self.paths)

    def drew(self, files: Sequence[int], labels: Sequence[str]) -> list[str]:
        """Who drew each box, by its file and its label."""
        annotations = self.config.annotations
        by_label = {
            name: annotations.rater_of.get(name, str(annotations.rater))
            for name in self.config.label_names
        }
        by_file = self.raters
        return [by_file[f] or by_label[name] for f, name in zip(files, labels, strict=True)]

    def refuse(self, file: int, problem: str) -> None:
        """Note that a file cannot be read: it says nothing about its slice."""
        name = self.names[file]
        self.half_read.add(file)
        self.findings.append(bad_file("file-unreadable", f"{name}: {problem}", name))

    def readings(self) -> pd.DataFrame:
        """A reading of each file by all who were asked; states are still to be inferred."""
        rows = list(self._readings())
        table = pd.DataFrame(rows, columns=["case", "slice", "rater", "labels", "state"])
        if self.config.annotations.file_times:
            time, findings = file_times(self.paths, table["rater"])
            self.findings += findings
            table = table if time is None else table.assign(time=time)
        return table

    def _readings(self) -> Iterator[tuple[str, int, str, str, str]]:
        everyone = asked(self.config)
        for file, (case, slice_) in enumerate(zip(self.cases, self.slices, strict=True)):
            state = "opened" if file in self.half_read else ""
            rater = self.raters[file]
            for name, labels in [(rater, "")] if rater is not None else everyone.items():
                yield case, slice_, name, labels, state

    def _add(self, found: list[patterns.Found]) -> None:
        """Take the first file of each case, slice and rater; a finding for each other."""
        first: dict[tuple[str, int, str | None], str] = {}
        study = self.config.study.name
        names = relative_names([one.name for one in found], self.config)
        for one, name in zip(found, names, strict=True):
            fields = one.fields
            slice_ = slice_number(fields.get("slice", "0"))
            if slice_ is None:
                self.findings.append(bad_file("slice-number", f"{name}: {_TOO_LARGE}", name))
                continue
            key = (fields.get("case", study), slice_, fields.get("rater"))
            if key in first:
                message = f"{name}: is the same slice as {first[key]}, which is used. Remove one."
                self.findings.append(bad_file("slice-twice", message, name))
                continue
            first[key] = name
            self.paths.append(one.name)
            self.names.append(name)
            self.cases.append(key[0])
            self.slices.append(slice_)
            self.raters.append(key[2])


def slice_number(text: str) -> int | None:
    """The slice that digits say; `None` where no volume has so many."""
    return int(text) if len(text) <= 20 and int(text) <= SLICE_MAX else None


def strays(found: patterns.Findings, config: Config) -> list[Finding]:
    """A finding about files beside those that fit the pattern."""
    if not found.strays:
        return []
    names = ", ".join(path.name for path in found.strays[:3])
    names += ", ..." if len(found.strays) > 3 else ""
    message = (
        f"{len(found.strays)} files beside the annotations do not fit "
        f"'{config.annotations.path}' and were not read: {names}."
    )
    return [
        Finding(
            check="file-not-in-pattern",
            severity=Severity.NOTE,
            message=message,
            value=float(len(found.strays)),
        )
    ]


_TOO_LARGE = f"its slice number is larger than {SLICE_MAX}, which is none. Rename the file."
