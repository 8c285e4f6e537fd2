"""What is asked, in which order, and why."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

from crowdqc.arrays import Bools
from crowdqc.decisions.standing import CHANGED, CONFLICT
from crowdqc.findings import InputError
from crowdqc.schema import BOX, PLACE, stands_in
from crowdqc.text import count

ORDERS = ("disagreement", "masks", "single", "random", "audit")
"""By what a decision is worth, with some at random; masks by their risk; what one rater drew alone;
a random sample; what ``crowdqc audit`` asks for."""
SAMPLES = ("random", "audit")
"""Orders whose every item counts, since something is estimated from all of them."""
_CHECK = 5
"""Every fifth item of the first order is a random one: the model may err where it is sure."""
_BLOCK = 25
"""Items of about the same gain, within which one case comes after the other."""
COLUMNS = ["unit", *PLACE, "object", "gain", "why", "again"]


def make_queue(
    tables: dict[str, pd.DataFrame],
    *,
    order: str = "disagreement",
    rater: str | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """All that may be asked, in the order in which it is.

    Parameters
    ----------
    tables : dict of str to DataFrame
        ``consensus`` and, as far as they are there, ``settled`` (of boxes, or of masks with -1 for
        their object), ``risk`` and ``audit``; with `rater` also ``boxes``.
    order : str
        One of `ORDERS`.
    rater : str, optional
        Only objects at places where this rater drew a box.
    seed : int
        Of the random sample.

    Returns
    -------
    DataFrame
        ``unit, case, slice, label, object`` (number at its place; -1 of a mask), ``gain`` (expected
        error, 0 to 1, that a decision removes), ``why``, a sentence, and ``again``. What reviewers
        decided differently, or on other boxes or another mask, comes first, to be decided again.

    Raises
    ------
    InputError
        If there is nothing to ask in this order.
    """
    if order == "audit":
        return _audit(tables)
    queue = _masks(tables) if order == "masks" else _boxes(tables["consensus"])
    if rater is not None:
        drawn = tables["boxes"].loc[tables["boxes"]["rater"] == rater, PLACE].drop_duplicates()
        queue = queue[stands_in(drawn, queue, PLACE)]
        if queue.empty:
            raise InputError(f"rater '{rater}' drew no box that was fused; name another one.")
    if order == "single":
        queue = queue[queue["alone"]]
    if order == "random":
        queue = queue.iloc[np.random.default_rng(seed).permutation(len(queue))]
    else:
        queue = queue.iloc[
            np.argsort(-(queue["gain"] * (1 + queue["depends"])).to_numpy(), kind="stable")
        ]
        block = np.arange(len(queue)) // _BLOCK  # case by case, as far as the order allows
        queue = queue.iloc[np.lexsort((pd.factorize(queue["case"])[0], block))]
    if order == "disagreement":
        queue = _with_checks(queue, np.random.default_rng(seed))
    queue = _reopened_first(queue.assign(again=False), tables.get("settled"))
    return queue[COLUMNS].reset_index(drop=True)


def _with_checks(queue: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The queue with a random item in every fifth place, drawn from all of it."""
    n = len(queue)
    drawn = rng.permutation(n)[: n // _CHECK]
    place = np.arange(n) % _CHECK == _CHECK - 1
    order = np.empty(n, dtype=np.int64)
    order[place], order[~place] = drawn, np.setdiff1d(np.arange(n), drawn)
    why = queue["why"].to_numpy(dtype=object, copy=True)
    why[drawn] = [f"Drawn at random, as a check of the model. {text}" for text in why[drawn]]
    return queue.assign(why=why).iloc[order]


def _boxes(consensus: pd.DataFrame) -> pd.DataFrame:
    boxed = consensus[BOX].notna().all(axis=1)
    worth = consensus["worth"] if "worth" in consensus else consensus["expected_error"]
    queue = consensus[PLACE].assign(
        unit="box",
        object=consensus.groupby(PLACE, sort=False).cumcount(),
        gain=worth.fillna(0.5).clip(0, 1),
        depends=consensus["depends"].fillna(0.0) if "depends" in consensus else 0.0,
        why=_why(consensus),
        alone=(consensus["state"] == "single") | (consensus["support"] <= 1),
    )
    return queue[boxed]


def _why(consensus: pd.DataFrame) -> list[str]:
    rounded = consensus[["state", "support", "n_raters", "score"]].round({"score": 2})
    rows = zip(*(rounded[name].tolist() for name in rounded), strict=True)
    return [_sentence(*row) for row in rows]


@functools.lru_cache(maxsize=2**16)
def _sentence(state: str, support: int, asked: int, score: float) -> str:  # noqa: PLR0917
    drawn = f"the boxes of {support} of {count(asked, 'rater')} agree with it"
    if state == "single":
        return "Only one rater looked: nothing confirms the box."
    if asked == 0:
        return "Nobody drew it: the box is interpolated, or another reviewer's."
    if state == "no_consensus" and score >= 0.5:
        return f"Left out for now, as too few agree: {drawn}. It probably exists ({score:.2f})."
    if state == "no_consensus":
        return f"Left out for now: {drawn}; the model gives it a probability of {score:.2f}."
    return f"Used for now: {drawn}; the model gives it a probability of {score:.2f}."


def _masks(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    if "risk" not in tables:
        raise InputError("there are no masks to grade: run crowdqc masks, or crowdqc risk, first.")
    risk = tables["risk"]
    return risk[PLACE].assign(
        unit="mask",
        object=-1,
        gain=risk["risk"].fillna(1.0).clip(0, 1),
        depends=0.0,
        why=[f"Risk {value:.2f} that the mask is wrong." for value in risk["risk"]],
        alone=False,
    )


def _audit(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    if "audit" not in tables or tables["audit"].empty:
        raise InputError("nothing is to be graded for an audit: run crowdqc audit first.")
    audit = tables["audit"]
    audit = audit[audit["role"] != ""]
    number = audit["object"].where(audit["unit"] == "box", -1)
    why = "Chosen by the audit: the share of wrong ones is estimated from all that it asks for."
    rows = audit[["unit", *PLACE]].assign(object=number, gain=1.0, why=why, again=False)
    if "settled" in tables:  # what was decided on other boxes, or another mask, is no grade now
        changed = tables["settled"]
        changed = changed[changed["state"] == CHANGED]
        rows["again"] = stands_in(changed, rows, [*PLACE, "object"])
    return rows[COLUMNS]


def _reopened_first(queue: pd.DataFrame, settled: pd.DataFrame | None) -> pd.DataFrame:
    """With what reviewers decided differently, or on other boxes, before all else."""
    if settled is None or settled.empty or not len(queue):
        return queue
    open_ = settled[settled["state"].isin([CONFLICT, CHANGED])]
    reasons = {
        (*place, number): f"{who}: {_REOPENED[state]}"
        for *place, number, state, who in zip(
            *(open_[name] for name in [*PLACE, "object", "state", "reviewers"]), strict=True
        )
    }
    keys = list(zip(*(queue[name] for name in [*PLACE, "object"]), strict=True))
    why = [reasons.get(key, old) for key, old in zip(keys, queue["why"], strict=True)]
    first: Bools = np.array([key in reasons for key in keys], dtype=bool)
    queue = queue.assign(why=why, gain=np.where(first, 1.0, queue["gain"]), again=first)
    return queue.iloc[np.argsort(~first, kind="stable")]


_REOPENED = {
    CONFLICT: "decided differently.",
    CHANGED: "decided on other boxes, or another mask, than now.",
}
