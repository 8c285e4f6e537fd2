"""What a format of annotations is: how it is recognised, read and written.

Formats are entry points of the group ``crowdqc.formats``; those that crowdqc brings are registered
in the same way as those of other packages. Nothing else in crowdqc knows a format by its name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from crowdqc import plugins
from crowdqc.config import Config
from crowdqc.findings import InputError
from crowdqc.formats.draft import Draft
from crowdqc.formats.listing import Guess, Listing
from crowdqc.formats.output import Output

GROUP: plugins.Group = "crowdqc.formats"


@dataclass(frozen=True, kw_only=True)
class Format:
    """One format of annotations.

    Parameters
    ----------
    title : str
        What people call it: ``"COCO JSON"``.
    read : callable
        From a study file to what its annotation files say.
    sniff : callable, optional
        From the files of a folder to a draft of ``[annotations]``; `None` where none of them is
        of this format. A format without it is never guessed.
    write : callable, optional
        Writes a study into a folder, and returns the keys of ``[annotations]`` that read it again.
        A format without it is only read.
    package : callable, optional
        Writes a work package of one rater as the tool takes it in, beside its pictures in
        ``images/``: what is drawn already, and everything that is asked for. Returns the keys of
        ``[annotations]`` that read what comes back.
    one_file_per_slice : bool
        Whether each file is one reading of one slice, so that its time of writing may count, and
        an empty file needs ``empty_file`` to say what it means.
    says_size, says_opened : bool
        Whether the files can say the size of an image, and that it was opened but not read.
    holds_points : bool
        Whether what is written holds raters' points.
    precedence : int
        Of formats that a folder holds, the one with the highest is guessed; of equal ones, the one
        with most files.
    """

    title: str
    read: Callable[[Config], Draft]
    sniff: Callable[[Listing], Guess | None] | None = None
    write: Callable[[Output, Path], dict[str, object]] | None = None
    package: Callable[[Output, Path], dict[str, object]] | None = None
    one_file_per_slice: bool = False
    says_size: bool = True
    says_opened: bool = False
    holds_points: bool = False
    precedence: int = 1


def load_format(name: str) -> Format:
    """The format that is registered under a name.

    Raises
    ------
    InputError
        If there is none, or what is registered is no `Format`.
    """
    found = plugins.load(GROUP, name)
    if not isinstance(found, Format):
        raise InputError(
            f"'{name}' of '{GROUP}' must be a crowdqc.formats.Format; got {type(found).__name__}. "
            "Uninstall the package that registers it, or report it to its authors."
        )
    return found


def formats() -> dict[str, Format]:
    """All formats by name."""
    return {name: load_format(name) for name in plugins.names(GROUP)}
