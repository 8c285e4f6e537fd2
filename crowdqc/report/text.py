"""Numbers and lists as people write them: no 15 digits, no bare nan, one word for one thing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from crowdqc.findings import Reason, Where
from crowdqc.judge.text import sentence
from crowdqc.schema import TABLES
from crowdqc.text import plural

NOTHING = "\u2013"
"""What stands where a number is not known: an en dash."""


_TITLES = [
    {column.name: column.title for column in TABLES[table]}
    for table in ("raters", "completeness", "masks", "consensus")
]


def number(value: float, digits: int = 2) -> str:
    """`value` with `digits` decimals and thousands set apart; a dash where it is not finite.

    Parameters
    ----------
    value : float
        nan and infinity are written as a dash.
    digits : int
        Decimals.

    Examples
    --------
    >>> number(0.8234), number(1840.0, 0), number(-0.004), number(float("nan"))
    ('0.82', '1,840', '0.00', '–')
    """
    if not math.isfinite(value):
        return NOTHING
    text = f"{value:,.{digits}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text.replace("-", "−")


def shortened(name: str, most: int) -> str:
    """A name without its middle, where it is long: those of many differ at the end.

    Parameters
    ----------
    name : str
    most : int
        Characters that it may have.

    Examples
    --------
    >>> shortened("rater01@clinic.example", 12), shortened("bob", 12)
    ('rater…xample', 'bob')
    """
    end = most // 2
    return name if len(name) <= most else f"{name[: most - end - 1]}…{name[-end:]}"


def share(part: int, whole: int, noun: str) -> str:
    """How many of how many.

    Parameters
    ----------
    part : int
        From 0 to `whole`.
    whole : int
        If 0 the text says that there is none.
    noun : str
        In the singular.

    Examples
    --------
    >>> share(3, 5, "rater"), share(5, 5, "rater"), share(0, 0, "rater"), share(1, 1, "case")
    ('3 of 5 raters', 'all 5 raters', 'no rater', 'the only case')
    """
    if whole == 0:
        return f"no {noun}"
    if part == whole:
        return f"the only {noun}" if whole == 1 else f"all {whole:,} {plural(noun)}"
    return f"{part:,} of {whole:,} {plural(noun)}"


def percent(value: float) -> str:
    """A fraction as whole percent.

    Examples
    --------
    >>> percent(0.637), percent(0.004), percent(0.0), percent(float("nan"))
    ('64 %', '<1 %', '0 %', '–')
    """
    if not math.isfinite(value):
        return NOTHING
    if 0 < value < 0.005:
        return "<1 %"
    return f"{number(value * 100, 0)} %"


def listing(names: Sequence[str], limit: int = 4) -> str:
    """Names in a sentence; what is beyond `limit` is counted.

    Parameters
    ----------
    names : sequence of str
        If empty, so is the text.
    limit : int
        Most names that are written out.

    Examples
    --------
    >>> listing(["a"]), listing(["a", "b", "c"]), listing(list("abcdef"), 3)
    ('a', 'a, b and c', 'a, b, c and 3 more')
    """
    if len(names) > limit:
        return f"{', '.join(names[:limit])} and {len(names) - limit:,} more"
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def p_value(p: float, *, equals: str = "") -> str:
    """A p value as papers print it, behind `equals` unless it is below a bound.

    Parameters
    ----------
    p : float
        From 0 to 1; nan is written as a dash.
    equals : str
        Put before a number, not before a bound: ``"= "`` gives ``= 0.20`` and ``<0.001``.

    Examples
    --------
    >>> p_value(0.00004), p_value(0.008), p_value(0.2), p_value(float("nan"))
    ('<0.001', '0.008', '0.20', '–')
    """
    if not math.isfinite(p):
        return NOTHING
    if p < 0.001:
        return "<0.001"
    return f"{equals}{p:.{3 if p < 0.1 else 2}f}"


def readable(name: str) -> str:
    """An identifier as words.

    Examples
    --------
    >>> readable("right_kidney"), readable("box-outside-image")
    ('right kidney', 'box outside image')
    """
    return name.replace("_", " ").replace("-", " ")


def reason_sentences(
    reasons: Iterable[Reason], unit: Where, *, numbers: bool = True
) -> tuple[str, ...]:
    """Reasons of a verdict as sentences about a unit: what was found before what a rule asked.

    Parameters
    ----------
    reasons : iterable of Reason
        Of one verdict.
    unit : Where
        What the reader knows already: it is not named again.
    numbers : bool
        Whether the value and the limit of a rule follow in brackets.

    Returns
    -------
    tuple of str
        Each once.

    Examples
    --------
    >>> rule = Reason(measure="n_gaps", value=5.0, op=">", limit=0.0, because="no box")
    >>> found = Reason(measure="labels-swapped", because="swaps left_kidney and spleen")
    >>> reason_sentences([rule, found], Where())
    ('swaps left_kidney and spleen', 'no box (empty slices 5 > 0)')
    """
    ranked = sorted(reasons, key=lambda reason: reason.op is not None)
    texts = (
        sentence(reason, unit, numbers=numbers, name=readable, measure=_measure_name)
        for reason in ranked
    )
    return tuple(dict.fromkeys(texts))


def _measure_name(measure: str) -> str:
    """A measure that a rule asks about, inside a sentence: its title, or its name as words.

    Examples
    --------
    >>> _measure_name("agreement_best_low"), _measure_name("gap_share")
    ('better agreement, lower bound', 'gap share')
    """
    title = next((titles[measure] for titles in _TITLES if measure in titles), readable(measure))
    return f"{title[:1].lower()}{title[1:]}"


def displacement(dx: float, dy: float) -> str:
    """A displacement in px as a sentence would have it; picture rows run downwards.

    Parameters
    ----------
    dx : float
        To the right, in px; nan is left out.
    dy : float
        Downwards, in px; nan is left out.

    Examples
    --------
    >>> displacement(4.04, -2.0), displacement(0.01, 0.0), displacement(float("nan"), 1.0)
    ('4.0 px to the right, 2.0 px up', 'not shifted', '1.0 px down')
    """
    parts = []
    for value, positive, negative in ((dx, "to the right", "to the left"), (dy, "down", "up")):
        if math.isfinite(value) and abs(value) >= 0.05:
            parts.append(f"{number(abs(value), 1)} px {positive if value > 0 else negative}")
    return ", ".join(parts) or "not shifted"


def file_size(n: int) -> str:
    """A size in bytes, in the unit that suits it.

    Examples
    --------
    >>> file_size(340), file_size(45_300), file_size(4_815_814)
    ('340 B', '45 kB', '4.8 MB')
    """
    if n < 1000:
        return f"{n} B"
    return f"{n / 1000:.0f} kB" if n < 1_000_000 else f"{n / 1e6:.1f} MB"
