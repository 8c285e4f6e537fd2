"""File names with placeholders: ``boxes/{rater}/img{case}-slice{slice}.txt``.

A placeholder stands for part of one folder or file name. ``{slice}`` matches digits only; a
placeholder that occurs twice must match the same text both times.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from crowdqc.findings import InputError

FIELDS = ("case", "slice", "rater")

_SERIES = " Folders do: where each holds a DICOM series, end the path with '/'."


@dataclass(frozen=True)
class Found:
    """One file that fits a pattern, and what its path says."""

    name: str
    fields: dict[str, str]

    @property
    def path(self) -> Path:
        """The file (made when asked for: there may be half a million of them)."""
        return Path(self.name)


@dataclass(frozen=True)
class Findings:
    """Files that fit a pattern, in natural path order, and their neighbours that do not."""

    files: list[Found]
    strays: list[Path] = field(default_factory=list)
    """Files with the same ending that lie beside those that fit."""


def has(pattern: str | Path, name: str) -> bool:
    """Whether `pattern` holds the placeholder ``{name}``."""
    return f"{{{name}}}" in str(pattern)


def fill(pattern: str | Path, **fields: str | int) -> Path:
    """`pattern` with its placeholders replaced.

    Examples
    --------
    >>> fill("labels/label{case}.nii.gz", case="0001").as_posix()
    'labels/label0001.nii.gz'
    """
    text = str(pattern)
    for name, value in fields.items():
        text = text.replace(f"{{{name}}}", str(value))
    return Path(text)


def find(pattern: Path, *, folders: bool = False) -> Findings:
    """All files that fit `pattern`, an absolute or relative path with placeholders.

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
    first = next((i for i, part in enumerate(parts) if "{" in part), len(parts) - 1)
    root = Path(*parts[:first])
    if not root.is_dir():
        raise InputError(f"{root}: there is no such folder (needed for '{pattern}').")
    search = _Search(parts[first:], folders=folders)
    files = sorted(search.walk(root, 0), key=lambda found: found.name)
    if not files:
        what = "folder" if folders else "file"
        hint = "" if folders or not _fits(parts[first:], root) else _SERIES
        raise InputError(
            f"{pattern}: no {what} fits this pattern. Its folder {root} is there.{hint}"
        )
    return Findings(files, sorted(search.strays))


def _fits(parts: tuple[str, ...], root: Path) -> bool:
    """Whether a folder fits a pattern that no file fits."""
    return any(True for _ in _Search(parts, folders=True).walk(root, 0))


class Name:
    """Names like ``{case}/slice{slice}.png``, found at the end of longer ones.

    Examples
    --------
    >>> Name("{case}-{slice}.png").fields("train/p1-007.png")
    {'case': 'p1', 'slice': '007'}
    >>> Name("{case}").fields("train/photo.v2.png")
    {'case': 'photo.v2'}
    """

    def __init__(self, pattern: str) -> None:
        _refuse_unknown(Path(pattern))
        self.matchers = [re.compile(_regex(part)) for part in pattern.split("/")]
        self.whole = "." in pattern.rpartition("/")[2]

    def fields(self, name: str) -> dict[str, str] | None:
        """What `name` says; `None` where it does not fit. A pattern without an ending fits all."""
        parts = re.split(r"[\\/]", name)
        if not self.whole:
            parts[-1] = parts[-1].rpartition(".")[0] or parts[-1]
        fields: dict[str, str] | None = {}
        for matcher, part in zip(reversed(self.matchers), reversed(parts), strict=False):
            match = matcher.fullmatch(part)
            fields = None if match is None or fields is None else merged(fields, match.groupdict())
        return fields if len(parts) >= len(self.matchers) else None


class _Search:
    """Walks down one folder level per part of the pattern, and only where the name fits."""

    def __init__(self, parts: tuple[str, ...], *, folders: bool) -> None:
        self.matchers = [re.compile(_regex(part)) for part in parts]
        self.suffix = Path(parts[-1]).suffix
        self.folders = folders
        self.strays: list[Path] = []

    def walk(self, folder: Path, depth: int) -> Iterator[Found]:
        yield from self._walk(str(folder), depth, {})

    def _walk(self, folder: str, depth: int, known: dict[str, str]) -> Iterator[Found]:
        last = depth == len(self.matchers) - 1
        for entry in os.scandir(folder):
            if not (entry.is_file() if last and not self.folders else entry.is_dir()):
                continue
            match = self.matchers[depth].fullmatch(entry.name)
            fields = None if match is None else merged(known, match.groupdict())
            if fields is None:
                if last and entry.name.endswith(self.suffix):
                    self.strays.append(Path(entry.path))
            elif last:
                yield Found(entry.path, fields)
            else:
                yield from self._walk(entry.path, depth + 1, fields)


def merged(known: dict[str, str], new: dict[str, str]) -> dict[str, str] | None:
    """Both together, or `None` where they contradict each other."""
    if not known:
        return new
    if any(known.get(name, value) != value for name, value in new.items()):
        return None
    return {**known, **new}


def _regex(part: str) -> str:
    """Regular expression of one part of a pattern."""
    pieces, seen = [], set()
    for piece in re.split(r"(\{\w+\})", part):
        name = piece[1:-1]
        if not (piece.startswith("{") and piece.endswith("}")):
            pieces.append(re.escape(piece))
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
            f"'{pattern}' holds {{{unknown[0]}}}; known placeholders are {{case}}, {{slice}} "
            "and {rater}."
        )
