"""Reasons as English: the only place where the records of a verdict become sentences.

What a reason is about is named only as far as its reader does not know it yet: a reason of a label
names the label where it is read of the case ("liver: ..."), and not where it is read of the label.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from crowdqc.findings import Finding, Reason, Where, check_info, from_cell
from crowdqc.judge.declared import FINDINGS
from crowdqc.text import capitalised

NOWHERE = Where()
SHOWN = 3
"""Reasons of a unit that are shown where there is little room."""


def sentence(
    reason: Reason,
    unit: Where,
    *,
    numbers: bool = True,
    name: Callable[[str], str] = str,
    measure: Callable[[str], str] = str,
) -> str:
    """A reason as a sentence about a unit.

    Parameters
    ----------
    reason : Reason
        The reason.
    unit : Where
        The unit that the reader looks at.
    numbers : bool
        Whether the numbers of a rule stand behind its words.
    name, measure : callable
        How a label, and how a measure is written.

    Returns
    -------
    str
        Words without a full stop at the end, unless a finding's message has one.

    Examples
    --------
    >>> why = Reason(measure="n_gaps", value=5.0, op=">", limit=0.0, because="a slice has no box")
    >>> sentence(why, Where())
    'a slice has no box (n_gaps 5 > 0)'
    """
    text = "not enough is known to judge" if reason.unknown else reason.because
    if reason.op is not None and numbers:
        text = f"{text} ({_asked(reason, measure)})"
    return _placed(text, reason.where, unit, label=name)


def _short(reason: Reason, unit: Where) -> str:
    """A reason in a few words: what a rule asked, or what a check finds."""
    check = reason.measure.removeprefix(FINDINGS)
    found = reason.op is None or ((reason.op, reason.limit) == (">", 0) and check != reason.measure)
    text = check_info(check).about if found else _asked(reason)
    return _placed(text or reason.because, reason.where, unit)


def _asked(reason: Reason, measure: Callable[[str], str] = str) -> str:
    """What a rule asked, with the value that it met."""
    if reason.unknown:
        return f"{measure(reason.measure)} is not known"
    return f"{measure(reason.measure)} {reason.value:.3g} {reason.op} {reason.limit:g}"


def sentences(reasons: Iterable[Reason | Mapping[str, Any]], unit: Where) -> list[str]:
    """Reasons, or their records, as sentences about a unit, each once.

    Parameters
    ----------
    reasons : iterable of Reason or mapping
        Or their records, as in tables and the manifest.
    unit : Where
        What they are about: what it names is not repeated.
    """
    return list(dict.fromkeys(sentence(reason, unit) for reason in records(reasons)))


def records(reasons: Iterable[Reason | Mapping[str, Any]]) -> list[Reason]:
    """Reasons, some of which may be records of the manifest."""
    return [one if isinstance(one, Reason) else Reason.from_record(one) for one in reasons]


def shortened(reasons: Iterable[Reason | Mapping[str, Any]], unit: Where) -> str:
    """The first reasons in a few words, and how many there are beside.

    Parameters
    ----------
    reasons : iterable of Reason or mapping
        As of `sentences`.
    unit : Where
        As of `sentences`.

    Returns
    -------
    str
        At most `SHOWN` reasons; empty for none.
    """
    texts = list(dict.fromkeys(_short(reason, unit) for reason in records(reasons)))
    left = len(texts) - SHOWN
    return "; ".join([*texts[:SHOWN], *([f"and {left} more"] if left > 0 else [])])


def message(finding: Finding, unit: Where = NOWHERE) -> str:
    """A finding as a sentence about a unit, with its limit and the places that show it.

    Parameters
    ----------
    finding : Finding
        Its message begins in lower case if the place goes before it.
    unit : Where
        What is clear already, and is not named again.

    Examples
    --------
    >>> message(Finding(check="organ-gap", message="no box on slice 7.", case="1", label="liver"))
    'Case 1, liver: no box on slice 7.'
    """
    place, text = _name(finding.where, unit), finding.message
    if finding.examples:  # of a fault of a rater, which has a limit, too
        shown = "; ".join(_name(place) for place in finding.examples)
        text = f"{text}; the limit is {_limit(finding)}. See {shown}."
    return f"{capitalised(place)}: {text}" if place else text


def _limit(finding: Finding) -> str:
    """The limit of a finding in its unit; a share in per cent."""
    limit, unit = finding.limit or 0.0, finding.unit or ""
    return f"{100 * limit:.3g} %" if unit.startswith("share") else f"{limit:.3g} {unit}".rstrip()


def in_few_words(finding: Finding) -> tuple[str, str]:
    """What a finding's check finds, and where it was found: a file, or a place of the study."""
    where = finding.source or _name(finding.where)
    return check_info(finding.check).about or finding.message, where


def checks_in_words(cell: str) -> str:
    """What the checks find that a cell of a table lists by name.

    Examples
    --------
    >>> checks_in_words('["organ-gap", "run-short"]')
    'no box, though the organ goes on; much shorter than usual'
    """
    return "; ".join(check_info(name).about or name for name in from_cell(cell))


def _placed(text: str, where: Where, unit: Where, *, label: Callable[[str], str] = str) -> str:
    name = _name(where, unit, label)
    return f"{name}: {text}" if name else text


def _name(where: Where, unit: Where = NOWHERE, label: Callable[[str], str] = str) -> str:
    """The parts of a place that the unit does not name."""
    words = {"case": "case {}".format, "slice": "slice {}".format, "label": label}
    words["rater"] = "rater {}".format
    parts = [
        word(getattr(where, name))
        for name, word in words.items()
        if getattr(where, name) is not None and getattr(unit, name) != getattr(where, name)
    ]
    return ", ".join(parts)
