"""Counts and names in messages, and texts of others made safe for terminals and spreadsheets."""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

ALONE = "no slice was read by two raters for the same label"
"""Why agreement is undefined in a study where every label has one rater."""
_HIDDEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb]"
    r"|[\U000e0000-\U000e0fff]"
)
"""Controls (C0 but tab and newline, C1), those of direction and of lines, and invisible tags."""
_FORMULA = re.compile(r"'*[=+\-@\t\r\n]|'*[\uff0b\uff0d\uff1d\uff20]")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?%?|-")


def count(n: int, noun: str) -> str:
    """A number of things, with the noun in its plural where needed.

    Parameters
    ----------
    n : int
        Not below 0.
    noun : str
        In the singular.

    Examples
    --------
    >>> count(1, "slice"), count(1840, "box"), count(0, "entry")
    ('1 slice', '1,840 boxes', '0 entries')
    """
    return f"{n:,} {noun if n == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """Plural of a noun, of which the last word is the one that changes.

    Examples
    --------
    >>> plural("rater"), plural("fused box"), plural("entry")
    ('raters', 'fused boxes', 'entries')
    """
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("x", "s", "ch", "sh")) else f"{noun}s"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that a misspelt one seems to mean; `None` where none is like it.

    Parameters
    ----------
    name : str
        As it was written.
    known : iterable of str
        What may be meant.

    Examples
    --------
    >>> nearest("medain", ["mean", "median"]), nearest("x", ["mean"])
    ('median', None)
    """
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)), None)


def must_be_one_of(what: str, got: str, known: Iterable[str]) -> str:
    """Message that refuses a value that is not among the known ones, with the nearest of them.

    Parameters
    ----------
    what : str
        How the message calls the value.
    got : str
        The value.
    known : iterable of str
        In the order in which they are named.

    Examples
    --------
    >>> must_be_one_of("fusion method", "medain", ["mean", "median"])
    "fusion method must be one of mean, median; got 'medain'. Did you mean 'median'?"
    """
    known = list(known)
    near = nearest(got, known)
    hint = f" Did you mean '{near}'?" if near else ""
    return f"{what} must be one of {', '.join(known)}; got '{got}'.{hint}"


def visible(text: str) -> str:
    r"""`text` with all characters escaped that a terminal would obey, or show in another order.

    Tabs and newlines stay as they are.

    Examples
    --------
    >>> visible("img1\x1b[31m.png"), visible("a\u202eb"), visible("Köln\n")
    ('img1\\x1b[31m.png', 'a\\u202eb', 'Köln\n')
    """
    if text.isascii() and text.isprintable():
        return text
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def visible_json(text: str) -> str:
    r"""JSON with the same characters escaped in its own way: it says the same.

    Examples
    --------
    >>> print(visible_json('["a\u202eb"]'))
    ["a\u202eb"]
    """
    return _HIDDEN.sub(lambda found: json.dumps(found[0])[1:-1], text)


def spreadsheet_cell(text: str) -> str:
    """`text` so that no spreadsheet takes it for a formula: with an apostrophe before it.

    Plain numbers stay as they are. `plain_cell` is the inverse: a text that is guarded, or looks
    as if it were, gets one apostrophe more.

    Examples
    --------
    >>> spreadsheet_cell("=1+1"), spreadsheet_cell("-1.5"), spreadsheet_cell("'=1"), "it's"
    ("'=1+1", '-1.5', "''=1", "it's")
    """
    start = unicodedata.normalize("NFKC", text[:1]) if text[:1] > "\x7f" else ""
    risky = _FORMULA.match(text) or start in {"=", "+", "-", "@"}
    return f"'{text}" if risky and not _NUMBER.fullmatch(text) else text


def plain_cell(cell: str) -> str:
    """Inverse of `spreadsheet_cell`.

    Examples
    --------
    >>> plain_cell(spreadsheet_cell("'=1")), plain_cell("it's")
    ("'=1", "it's")
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def for_spreadsheets(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` with the texts in it, and its headings, guarded by `spreadsheet_cell`."""
    guarded = frame.map(lambda cell: spreadsheet_cell(cell) if isinstance(cell, str) else cell)
    return guarded.rename(columns=lambda name: spreadsheet_cell(str(name)))


def names_cell(names: Iterable[str]) -> str:
    """Names in one cell of a table, with blanks between; one with a blank or ' stands in '.

    `names_of` is the inverse.

    Examples
    --------
    >>> names_cell(["bob", "Ann Lee", "o'hara"])
    "bob 'Ann Lee' 'o''hara'"
    """
    return " ".join(map(_quoted, names))


def names_of(cell: str) -> list[str]:
    """Inverse of `names_cell`.

    Examples
    --------
    >>> names_of("bob 'Ann Lee' 'o''hara'")
    ['bob', 'Ann Lee', "o'hara"]
    """
    return [plain or quoted.replace("""''""", "'") for quoted, plain in _NAMES.findall(cell)]


def _quoted(name: str) -> str:
    doubled = name.replace("'", "''")
    return f"'{doubled}'" if _UNPLAIN.search(name) else name


_UNPLAIN = re.compile(r"[\s']")
_NAMES = re.compile(r"'((?:[^']|'')*)'(?=\s|$)|(\S+)")


def capitalised(text: str) -> str:
    """A text as it begins a sentence."""
    return f"{text[:1].upper()}{text[1:]}"
