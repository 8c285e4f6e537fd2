"""Splits never share a patient, and are the same in every dataset."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdqc.findings import InputError
from train.splits import make_splits, patient_of, refuse_leaks, restrict_splits

PATTERN = r"^(p\d+)_"
scans = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 3)), min_size=1, max_size=30, unique=True
).map(lambda pairs: [f"p{patient}_s{scan}" for patient, scan in pairs])


@settings(max_examples=60)
@given(scans, st.integers(2, 5), st.integers(0, 5))
def test_every_case_validates_once_and_no_patient_is_on_both_sides(cases, folds, seed):
    patients = {patient_of(case, PATTERN) for case in cases}
    if len(patients) < folds:
        with pytest.raises(InputError, match=f"number of patients, {len(patients)}"):
            make_splits(cases, folds=folds, seed=seed, patient=PATTERN)
        return
    splits = make_splits(cases, folds=folds, seed=seed, patient=PATTERN)

    assert len(splits) == folds
    assert sorted(case for split in splits for case in split["val"]) == sorted(cases)
    sizes = []
    for split in splits:
        assert sorted(split["train"] + split["val"]) == sorted(cases)
        refuse_leaks(split["train"], split["val"], patient=PATTERN)
        sizes.append(len({patient_of(case, PATTERN) for case in split["val"]}))
    assert max(sizes) - min(sizes) <= 1


def test_the_seed_decides_and_the_order_of_the_cases_does_not():
    cases = [f"c{i}" for i in range(20)]

    assert make_splits(cases, seed=1) == make_splits(cases[::-1], seed=1)
    assert make_splits(cases, seed=1) != make_splits(cases, seed=2)


def test_a_leak_is_named():
    with pytest.raises(InputError, match=r"1 patients .*p1: \['p1_a'\] and \['p1_b'\]"):
        refuse_leaks(["p1_a", "p2_a"], ["p1_b"], patient=PATTERN)
    refuse_leaks(["p1_a", "p2_a"], ["p1_b"])  # without a pattern these are three patients


def test_a_dataset_with_fewer_cases_keeps_the_folds_of_the_others():
    cases = [f"c{i}" for i in range(10)]
    splits = make_splits(cases, folds=5)
    kept = [case for case in cases if case != splits[0]["val"][0]]

    restricted = restrict_splits(splits, kept)

    for split, whole in zip(restricted, splits, strict=True):
        assert split["val"] == [case for case in whole["val"] if case in kept]
    with pytest.raises(InputError, match=r"none is left for fold 0 \(val\)"):
        restrict_splits(splits, [case for case in cases if case not in splits[0]["val"]])


@pytest.mark.parametrize("pattern", ["(", "p1", "^x(.)"])
def test_a_pattern_that_names_no_patient_is_refused(pattern):
    with pytest.raises(InputError, match=r"\[dataset\] patient"):
        patient_of("p1_a", pattern)
