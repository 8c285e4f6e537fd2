"""Names of the user's files, and short texts out of them, as messages say them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from crowdqc.config import Config


def relative(path: str | Path, config: Config) -> str:
    """`path` as messages name it: relative to the folder of the study file.

    Parameters
    ----------
    path : str or Path
        Absolute, or relative to the current folder.
    config : Config
        Of the study file.

    Returns
    -------
    str
        With ``/`` on every system, and without characters that a terminal would obey.
    """
    return relative_names([path], config)[0]


def relative_names(paths: Sequence[str | Path], config: Config) -> list[str]:
    """Each of `paths` as messages name it: as `relative`, and quick for many.

    Parameters
    ----------
    paths : sequence of str or Path
        As of `relative`.
    config : Config
        Of the study file.
    """
    folder = os.path.join(config.file.parent, "")  # noqa: PTH118
    names = [str(path) for path in paths]
    names = [
        name[len(folder) :] if name.startswith(folder) else os.path.relpath(name, folder or ".")
        for name in names
    ]
    if os.sep != "/":
        names = [name.replace(os.sep, "/") for name in names]
    return names if "".join(names).isascii() else [printable(name) for name in names]


def inside(path: str | Path, config: Config) -> bool:
    """Whether a file lies in the folder of the study file, after all links: it may be quoted.

    Parameters
    ----------
    path : str or Path
        If relative, to the folder of the study file. It need not exist.
    config : Config
        Of the study file.
    """
    folder = os.path.realpath(config.file.parent)
    return os.path.realpath(folder / Path(path)).startswith(os.path.join(folder, ""))  # noqa: PTH118


def printable(text: str) -> str:
    """`text` with everything escaped that UTF-8 cannot say (odd bytes in file names)."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def short(text: str) -> str:
    """`text`, cut where it is too long for a message, without what cannot be printed."""
    text = text if len(text) <= 60 else text[:57] + "..."
    return printable(text)


def parse_number(text: str) -> float | None:
    """The number that `text` says, as files write numbers (no ``1_000``); else `None`."""
    if "_" in text or not text.isascii():
        return None
    try:
        return float(text)
    except ValueError:
        return None


def not_a_number(text: str, kind: str = "a number") -> str:
    """That `text` is no number, and the remedy where a comma stands for the decimal point.

    Parameters
    ----------
    text : str
        What stands in a file.
    kind : str
        What it should be.

    Examples
    --------
    >>> not_a_number("0,5")
    "'0,5', which is not a number. Decimals need a point, as in 0.5."
    """
    pointed = text.replace(",", ".")
    comma = text.count(",") == 1 and parse_number(pointed) is not None
    remedy = f" Decimals need a point, as in {short(pointed)}." if comma else ""
    return f"'{short(text)}', which is not {kind}.{remedy}"


def write_json(path: Path, data: object) -> None:
    """Write `data` as JSON, indented by one.

    Parameters
    ----------
    path : Path
        Is written over.
    data : object
        What `json` can write; text stays as it is, not as ASCII.
    """
    path.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
