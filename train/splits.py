"""Which cases train, validate and test: by patient, and the same in every dataset."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from crowdqc.findings import InputError
from crowdqc.schema import natural_order

Split = dict[str, list[str]]
"""One fold as nnU-Net's ``splits_final.json`` has it: ``train`` and ``val``."""


def patient_of(case: str, pattern: str | None) -> str:
    r"""Patient to whom a case belongs: the first group of `pattern` in the case's name.

    Without a pattern every case is a patient of its own.

    Parameters
    ----------
    case : str
        Name of a case.
    pattern : str or None
        Regular expression with one group, looked for anywhere in the name.

    Raises
    ------
    InputError
        If the pattern has no group or does not fit the case.

    Examples
    --------
    >>> patient_of("p07_scan2", r"^(p\d+)_")
    'p07'
    """
    if pattern is None:
        return case
    try:
        found = re.search(pattern, case)
        return str(found.group(1)) if found else _no_patient(case, pattern)
    except (re.error, IndexError) as error:
        raise InputError(
            f"[dataset] patient must be a regular expression with one group, such as "
            f"'^(p[0-9]+)_'; got {pattern!r}."
        ) from error


def refuse_leaks(train: Iterable[str], test: Iterable[str], *, patient: str | None = None) -> None:
    """Refuse a patient who is in training and in test.

    Parameters
    ----------
    train : iterable of str
        Cases.
    test : iterable of str
        Cases.
    patient : str, optional
        As `pattern` of `patient_of`.

    Raises
    ------
    InputError
        Naming the patients and their cases.
    """
    groups = [_by_patient(cases, patient) for cases in (train, test)]
    both = natural_order(set(groups[0]) & set(groups[1]))
    if both:
        cases = ", ".join(f"{p}: {groups[0][p]} and {groups[1][p]}" for p in both[:5])
        raise InputError(
            f"{len(both)} patients are in training and in test ({cases}). A test on a patient "
            "who was trained on says nothing; move all cases of a patient to one side."
        )


def make_splits(
    cases: Iterable[str], *, folds: int = 5, seed: int = 0, patient: str | None = None
) -> list[Split]:
    """Deal cases into folds by patient.

    Parameters
    ----------
    cases : iterable of str
        All training cases, of the largest dataset: see `restrict_splits`.
    folds : int
        Number of folds, at least 2.
    seed : int
        For the order in which patients are dealt.
    patient : str, optional
        See `patient_of`.

    Returns
    -------
    list of dict
        For each fold ``train`` and ``val``; every case validates exactly once, a patient's
        cases all in the same fold, and folds differ in size by at most one patient.

    Raises
    ------
    InputError
        If there are fewer patients than folds.

    Examples
    --------
    >>> make_splits(["a", "b", "c"], folds=3)[0]
    {'train': ['a', 'c'], 'val': ['b']}
    """
    groups = _by_patient(cases, patient)
    if not 2 <= folds <= len(groups):
        raise InputError(
            f"'folds' must be at least 2 and at most the number of patients, {len(groups)}; got "
            f"{folds}. Annotate more patients, or set [dataset] folds."
        )
    order = np.random.default_rng(seed).permutation(len(groups))
    fold_of = {
        name: int(place) % folds for name, place in zip(natural_order(groups), order, strict=True)
    }
    return [
        {
            "train": _cases_of(groups, [p for p in groups if fold_of[p] != fold]),
            "val": _cases_of(groups, [p for p in groups if fold_of[p] == fold]),
        }
        for fold in range(folds)
    ]


def restrict_splits(splits: Sequence[Split], cases: Iterable[str]) -> list[Split]:
    """The same splits with some cases only, so that two datasets differ in nothing else.

    Parameters
    ----------
    splits : sequence of dict
        Cases of ``train`` and ``val`` of each fold.
    cases : iterable of str
        Those that stay.

    Raises
    ------
    InputError
        If a fold is left without a case to train or to validate on.
    """
    kept = set(cases)
    result = [{part: [c for c in split[part] if c in kept] for part in split} for split in splits]
    bare = [
        f"fold {k} ({part})" for k, split in enumerate(result) for part in split if not split[part]
    ]
    if bare:
        raise InputError(
            f"Of {len(kept)} cases none is left for {', '.join(bare)}. Use fewer folds."
        )
    return result


def _by_patient(cases: Iterable[str], pattern: str | None) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for case in natural_order(cases):
        groups.setdefault(patient_of(case, pattern), []).append(case)
    return groups


def _cases_of(groups: dict[str, list[str]], patients: Sequence[str]) -> list[str]:
    return natural_order(case for patient in patients for case in groups[patient])


def _no_patient(case: str, pattern: str) -> str:
    raise InputError(
        f"Case '{case}' does not fit [dataset] patient, {pattern!r}. The pattern must find the "
        "patient in the name of every case."
    )
