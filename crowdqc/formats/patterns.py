"""File names with placeholders: ``boxes/{rater}/img{case}-slice{slice}.txt``.

A placeholder stands for part of one folder or file name. ``{slice}`` matches digits only; a
placeholder that occurs twice must match the same text both times. Where the name of a case stands
in several places, ``{case1}``, ``{case2}`` and so on are its parts, joined by ``_``. What is in
nobody's name, such as the random prefix of an upload, is matched by ``*``.
"""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from crowdqc.findings import InputError
from crowdqc.links import STATE

FIELDS = ("case", "slice", "rater", *(f"case{k}" for k in range(1, 10)))

ENDINGS = (
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".jp2", ".pgm", ".ppm"),
    *(".dcm", ".dicom", ".nii.gz", ".nii", ".nrrd", ".mha", ".mhd", ".svg"),
    *(".json", ".xml", ".txt"),
)
"""Endings of names; what else stands after a dot is part of a name, as in UIDs."""

OWN = frozenset({"assignments.csv", "decisions.csv", "history.csv"})
"""Tables that crowdqc keeps beside a study file: no placeholder stands for their names."""
STRAYS_MAX = 1000
"""So many files that a pattern leaves out are counted in each folder that it passes by."""
_SERIES = " Folders do: where each holds a DICOM series, end the path with '/'."


class Found(NamedTuple):
    """One file that fits a pattern, and what its path says."""

    path: Path
    fields: dict[str, str]


@dataclass(frozen=True)
class Matches:
    """Files that fit a pattern, in the order of their paths, and their neighbours that do not.

    Half a million files are kept as columns: an object for each would be most of the work.
    """

    names: list[str]
    fields: dict[str, list[str]]
    """What each path says, for each placeholder of the pattern."""
    strays: list[Path]
    """Files with the same ending that lie beside those that fit, or in a folder beside theirs."""

    @property
    def files(self) -> list[Found]:
        """One by one."""
        rows = zip(*self.fields.values(), strict=True) if self.fields else ((),) * len(self.names)
        return [
            Found(Path(name), dict(zip(self.fields, row, strict=True)))
            for name, row in zip(self.names, rows, strict=True)
        ]


def has(pattern: str | Path, name: str) -> bool:
    """Whether `pattern` holds the placeholder ``{name}``, or parts of it (``{case1}``).

    Parameters
    ----------
    pattern : str or Path
        Of a path.
    name : str
        Of a placeholder, without braces.
    """
    return bool(re.search(rf"\{{{name}\d?\}}", str(pattern)))


def split_ending(name: str) -> tuple[str, str]:
    """A name, and its ending where that is a known one.

    Examples
    --------
    >>> split_ending("p1.v2.nii.gz"), split_ending("1.2.840.601")
    (('p1.v2', '.nii.gz'), ('1.2.840.601', ''))
    """
    lower = name.lower()
    ending = next((one for one in ENDINGS if lower.endswith(one) and lower != one), "")
    return name[: len(name) - len(ending)], name[len(name) - len(ending) :]


def find(pattern: Path, *, folders: bool = False) -> Matches:
    """All files that fit `pattern`, an absolute or relative path with placeholders.

    No placeholder stands for a folder of results of crowdqc, whose files would fit many patterns,
    nor for the tables that it keeps beside a study file (`OWN`).

    Parameters
    ----------
    pattern : Path
    folders : bool
        Whether folders are looked for instead.

    Raises
    ------
    InputError
        If a placeholder is unknown, the folder is not there, or no file fits.
    """
    _refuse_unknown(pattern)
    parts = pattern.parts
    first = next((i for i, part in enumerate(parts) if re.search(r"[{*]", part)), len(parts) - 1)
    root = Path(*parts[:first])
    if not root.is_dir():
        raise InputError(f"{root}: there is no such folder (needed for '{pattern}').")
    search = _Search(parts[first:], folders=folders)
    try:
        search.walk(str(root), 0, {})
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read: {error.strerror}.") from error
    if not search.names and not search.fields and "*" not in str(pattern):
        raise InputError(f"{pattern}: there is no such file, or it is no regular one.")
    if not search.names:
        what = "folder" if folders else "file"
        hint = "" if folders or not _fits(parts[first:], root) else _SERIES
        raise InputError(
            f"{pattern}: no {what} fits this pattern. Its folder {root} {_held(root)}.{hint}"
        )
    return search.matches()


def _held(root: Path) -> str:
    """What a folder holds, by the name of one file, to be held against a pattern."""
    for folder, folders, files in os.walk(root):
        folders.sort()
        named = [name for name in files if not name.startswith(".")]
        if named:
            example = (Path(folder) / min(named)).relative_to(root).as_posix()
            return f"is there, and holds {example}"
    return "is there, and holds no file"


def _fits(parts: tuple[str, ...], root: Path) -> bool:
    """Whether a folder fits a pattern that no file fits."""
    search = _Search(parts, folders=True)
    search.walk(str(root), 0, {})
    return bool(search.names)


class Name:
    """Names like ``{case}/slice{slice}.png``, found at the end of longer ones.

    Examples
    --------
    >>> Name("{case}-{slice}.png").fields("train/p1-007.png")
    {'case': 'p1', 'slice': '007'}
    >>> Name("{case}").fields("train/photo.v2.png")
    {'case': 'photo.v2'}
    >>> Name("{case1}/{case2}/*-{slice}").fields("p1/art/0f6142fb-007.png")
    {'case': 'p1_art', 'slice': '007'}
    """

    def __init__(self, pattern: str) -> None:
        _refuse_unknown(Path(pattern))
        self.matchers = [re.compile(_regex(part)) for part in pattern.split("/")]
        self.whole = pattern.endswith(".*") or bool(split_ending(pattern)[1])

    def fields(self, name: str) -> dict[str, str] | None:
        """What `name` says; `None` where it does not fit. A pattern without an ending fits all."""
        parts = re.split(r"[\\/]", name)
        if not self.whole:
            parts[-1] = split_ending(parts[-1])[0]
        fields: dict[str, str] | None = {}
        for matcher, part in zip(reversed(self.matchers), reversed(parts), strict=False):
            match = matcher.fullmatch(part)
            fields = None if match is None or fields is None else merged(fields, match.groupdict())
        return _joined(fields) if fields is not None and len(parts) >= len(self.matchers) else None


class _Search:
    """Walks down one folder level per part of the pattern, and only where the name fits."""

    def __init__(self, parts: tuple[str, ...], *, folders: bool) -> None:
        self.matchers = [re.compile(_regex(part)) for part in parts]
        self.suffix = Path(parts[-1]).suffix.lower()
        self.any_ending = self.suffix == ".*"
        self.folders = folders
        self.literal = [not re.search(r"[{*]", part) for part in parts]
        self.passed = frozenset() if self.literal[-1] else OWN
        self.names: list[str] = []
        self.fields: dict[str, list[str]] = {
            name: [] for matcher in self.matchers for name in matcher.groupindex
        }
        self.strays: list[Path] = []

    def matches(self) -> Matches:
        """All that was found, in the order of the paths."""
        order = sorted(range(len(self.names)), key=self.names.__getitem__)
        names, *columns = (
            [column[k] for k in order] for column in (self.names, *self.fields.values())
        )
        fields = dict(zip(self.fields, columns, strict=True))
        parts = [fields.pop(name) for name in sorted(fields) if name[:4] == "case" != name]
        if parts:
            fields = {"case": list(map("_".join, zip(*parts, strict=True))), **fields}
        return Matches(names, fields, sorted(self._strays(names)))

    def _strays(self, names: list[str]) -> list[Path]:
        """Files that were passed by; where any ending fits, those that end as some that fit."""
        if not self.any_ending:
            return self.strays
        endings = {os.path.splitext(name)[1].lower() for name in names}  # noqa: PTH122 - many
        return [path for path in self.strays if path.suffix.lower() in endings]

    def _may_stray(self, name: str) -> bool:
        return self.any_ending or name.lower().endswith(self.suffix)

    def walk(self, folder: str, depth: int, known: dict[str, str]) -> None:
        if depth == len(self.matchers) - 1:
            self._collect(folder, known, inner=depth > 0)
            return
        matcher = self.matchers[depth]
        for entry in os.scandir(folder):
            if not entry.is_dir():
                continue
            match = matcher.fullmatch(entry.name)
            if not (match and self.literal[depth]) and _holds_results(entry.path):
                continue
            fields = match and merged(known, match.groupdict())
            if fields is not None:
                self.walk(entry.path, depth + 1, fields)
            elif depth:
                self._pass_by(entry.path)

    def _pass_by(self, folder: str) -> None:
        """Files of a folder that the pattern does not enter."""
        if self.folders or not self.suffix:
            return
        found = (path for path in _below(folder) if self._may_stray(path.name))
        if not self.any_ending:
            self.strays += itertools.islice(found, STRAYS_MAX)
            return
        n: Counter[str] = Counter()
        for path in found:
            n[path.suffix] += 1
            if n[path.suffix] <= STRAYS_MAX:
                self.strays.append(path)

    def _collect(self, folder: str, known: dict[str, str], *, inner: bool) -> None:
        """Files of the last folder: there may be half a million."""
        matcher = self.matchers[-1]
        again = known.keys() & matcher.groupindex
        matched = []
        for entry in os.scandir(folder):
            if entry.name in self.passed:
                continue
            if not (entry.is_dir() if self.folders else entry.is_file()):
                if inner and entry.is_dir() and not _holds_results(entry.path):
                    self._pass_by(entry.path)
                continue
            match = None if entry.name.startswith("._") else matcher.fullmatch(entry.name)
            if match and (not again or all(match[name] == known[name] for name in again)):
                self.names.append(entry.path)
                matched.append(match.groups())
            elif self._may_stray(entry.name) and not entry.name.startswith("."):
                self.strays.append(Path(entry.path))
        for name, values in zip(matcher.groupindex, zip(*matched, strict=True), strict=False):
            self.fields[name] += values
        for name in known.keys() - again:
            self.fields[name] += [known[name]] * len(matched)


def _below(folder: str) -> Iterator[Path]:
    """Files below a folder that a pattern passes by."""
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names)


def _holds_results(folder: str) -> bool:
    """Whether crowdqc writes into a folder: its own files are nobody's annotations."""
    return os.path.exists(os.path.join(folder, STATE))  # noqa: PTH110, PTH118 - many folders


def _joined(fields: dict[str, str]) -> dict[str, str]:
    """`fields` with the parts of a case's name put together."""
    parts = [fields[name] for name in sorted(fields) if name[:4] == "case" != name]
    if not parts:
        return fields
    return {"case": "_".join(parts)} | {k: v for k, v in fields.items() if k[:4] != "case"}


def merged(known: dict[str, str], new: dict[str, str]) -> dict[str, str] | None:
    """Both together, or `None` where they contradict each other.

    Parameters
    ----------
    known : dict
        Value of each placeholder.
    new : dict
        As `known`, from another part of the name.
    """
    if not known.keys().isdisjoint(new) and any(new.get(k, v) != v for k, v in known.items()):
        return None
    return known | new


def _regex(part: str) -> str:
    """Regular expression of one part of a pattern."""
    pieces, seen = [], set()
    if part.endswith(".*"):  # any ending, and nothing but it
        return _regex(part[:-2]) + r"\.[^.]*"
    for piece in re.split(r"(\{\w+\}|\*)", part):
        name = piece[1:-1]
        if not piece.startswith("{"):
            pieces.append(".*?" if piece == "*" else re.escape(piece))
        elif name in seen:
            pieces.append(f"(?P={name})")
        else:
            seen.add(name)
            pieces.append(f"(?P<{name}>{'[0-9]+' if name == 'slice' else '.+?'})")
    return "".join(pieces)


def _refuse_unknown(pattern: Path) -> None:
    unknown = [name for name in re.findall(r"\{(\w*)\}", str(pattern)) if name not in FIELDS]
    if unknown:
        raise InputError(
            f"'{pattern}' holds {{{unknown[0]}}}; known placeholders are {{case}} (or its parts, "
            "{case1}, {case2}, ...), {slice} and {rater}."
        )
