"""The files of a folder, and what they are guessed to be: what recognising a format works on."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from crowdqc.files import Unreadable, opened
from crowdqc.formats.patterns import OWN
from crowdqc.links import STATE

FILES_MAX = 5000
"""Files, images or boxes that are looked at."""
CHARACTERS_MAX = 100_000
"""Characters of a file that are looked at."""


@dataclass
class Guess:
    """A draft of ``[annotations]``, made from what some files seem to hold."""

    path: str
    files: list[Path] = field(default_factory=list)
    """The files that it was made from."""
    format: str = ""
    """Filled in by whoever asked the format."""
    labels: dict[str, str] = field(default_factory=dict)
    """Id -> name."""
    columns: dict[str, str | int] = field(default_factory=dict)
    image: str | None = None
    images: list[str] = field(default_factory=list)
    """Pattern of the names of images in the files, and these names."""
    image_path: str | None = None
    volume: Path | None = None
    """One of the volumes at `image_path`, and the line for its window."""
    window: str = (
        "# window = { percentiles = [0.5, 99.5] }   # CT: { level = 40, width = 400 }, in HU"
    )
    more: list[str] = field(default_factory=list)
    """Further lines of ``[annotations]``."""
    says_rater: bool = False
    """Whether the files name the rater."""
    no_images: bool = False
    """Whether no image can belong to them, so that none is looked for."""
    needs_size: bool = False
    """Whether the files do not state the size of images."""
    several: set[str] = field(default_factory=set)
    """Ids of labels of which a slice was seen to hold more than one object."""
    remarks: list[str] = field(default_factory=list)


class Listing:
    """The files of a folder and of all folders in it, in the order of their paths.

    Hidden ones, results of crowdqc and its tables beside a study file are left out.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = []
        for place, folders, names in os.walk(folder):
            folders[:] = [
                name
                for name in folders
                if not (name.startswith(".") or (Path(place) / name / STATE).exists())
            ]
            shown = (name for name in names if not name.startswith(".") and name not in OWN)
            paths = (Path(place) / name for name in shown)
            self.files += [path for path in paths if path.is_file()]
        self.files.sort()

    def ending(self, *endings: str) -> list[Path]:
        """Files whose name has one of the endings, in upper or lower case."""
        return [path for path in self.files if path.name.lower().endswith(endings)]

    def relative(self, path: Path) -> str:
        """`path` as a study file in the folder names it."""
        return path.relative_to(self.folder).as_posix()


@dataclass
class Contents:
    """What some files of one format hold."""

    images: dict[str, None] = field(default_factory=dict)
    """Names of images, in their order."""
    labels: set[str] = field(default_factory=set)
    says_rater: bool = False

    def add(self, other: Contents) -> None:
        """Take in what another file holds."""
        self.images |= other.images
        self.labels |= other.labels
        self.says_rater |= other.says_rater


def look_into(
    files: Iterable[Path], look: Callable[[Path], Contents | None]
) -> tuple[Contents, dict[Path, list[str]]]:
    """What the first of some files hold together, and the images in each that `look` knows.

    Parameters
    ----------
    files : iterable of Path
        Files that may be of a format.
    look : callable
        From a file to what it holds, `None` where it is of another format; one that it finds
        `Unreadable` is passed over.

    Returns
    -------
    contents : Contents
        What all hold together.
    files : dict
        Each file of the format, with the names of its images.
    """
    together, known = Contents(), {}
    for path in itertools.islice(files, FILES_MAX):
        try:
            found = look(path)
        except Unreadable:
            continue
        if found is not None:
            together.add(found)
            known[path] = list(found.images)
    return together, known


def beginning(path: Path) -> str:
    """The first characters of a text file."""
    with opened(path) as file:
        return file.read(CHARACTERS_MAX).decode(errors="replace")
