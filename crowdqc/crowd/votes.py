"""Objects that were voted on alike, which the model of existence looks at once."""

from __future__ import annotations

import dataclasses

import numpy as np

from crowdqc.arrays import Bools, Ints
from crowdqc.crowd.evidence import Evidence


def distinct(evidence: Evidence, spared: Bools | None = None) -> tuple[Evidence, Ints, Ints]:
    """Objects with different votes only, which of them each object is, and how often it is.

    Five raters leave a study of a million boxes no more than 243 kinds of objects. Votes are
    told apart by a sum of 64-bit numbers, one for each rater and answer.

    Parameters
    ----------
    evidence : Evidence
        All objects (O) and answers (A).
    spared : ndarray of bool, shape (A,), optional
        Answers that were not asked for.
    """
    number = np.random.default_rng(0).integers(2**63, size=(evidence.n_raters, 3), dtype=np.uint64)
    start = np.searchsorted(evidence.asked_object, np.arange(evidence.n_objects))
    said = evidence.drew.astype(np.int64) if spared is None else np.where(spared, 2, evidence.drew)
    answer = number[evidence.asked_rater, said]
    sums = np.add.reduceat(answer, start) if len(start) else answer
    states = (np.nan_to_num(evidence.real, nan=2.0) + 3 * evidence.single).astype(np.uint64)
    sums = sums + states * np.uint64(0x9E3779B97F4A7C15) if len(start) else sums
    _, first, same, times = np.unique(
        sums, return_index=True, return_inverse=True, return_counts=True
    )
    rank = np.argsort(np.argsort(first))
    kept = np.isin(evidence.asked_object, first)
    votes = dataclasses.replace(
        evidence,
        asked_object=np.searchsorted(np.sort(first), evidence.asked_object[kept]),
        asked_rater=evidence.asked_rater[kept],
        drew=evidence.drew[kept],
        gold=evidence.gold[np.sort(first)],
        real=evidence.real[np.sort(first)],
        settled=evidence.settled[np.sort(first)],
        decided=evidence.decided[np.sort(first)],
        single=evidence.single[np.sort(first)],
        n_objects=len(first),
    )
    return votes, rank[same.reshape(-1)], times[np.argsort(first)]


def rows_of(votes: Evidence, same: Ints, evidence: Evidence) -> Ints:
    """The row of `votes` that says the same as each row of `evidence`, (A,).

    Parameters
    ----------
    votes, same, evidence
        As from `distinct`, and what they were made from.
    """
    start = np.searchsorted(evidence.asked_object, np.arange(evidence.n_objects))
    first = np.searchsorted(votes.asked_object, np.arange(votes.n_objects))
    offset = np.arange(len(evidence.asked_object)) - start[evidence.asked_object]
    rows: Ints = first[same[evidence.asked_object]] + offset
    return rows
