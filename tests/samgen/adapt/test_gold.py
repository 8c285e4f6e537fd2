"""Who learns and who is held out, how far boxes stray, and where a path is stopped."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from crowdqc.findings import InputError
from crowdqc.fusion.members import COLUMN as MEMBERS
from crowdqc.schema import BOX
from samgen.adapt.choose import choose
from samgen.adapt.gold import (
    HELD_OUT_MIN,
    GoldCase,
    Spread,
    deal_cases,
    measure_spread,
    objects_in,
    prompts_of,
)
from tests.samgen.adapt.golden import gold_case, setting

SCORES = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).random((seed % 6 + 1, seed % 5 + 3))
)


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=30),
    st.floats(0.05, 0.9),
    st.integers(0, 99),
    st.sets(st.integers(0, 29), max_size=6),
)
def test_no_patient_is_on_both_sides_and_who_has_learned_is_not_held_out(
    owners, share, seed, learned
):
    patients = {f"case{k}": f"p{owner}" for k, owner in enumerate(owners)}
    seen = [f"case{k}" for k in learned]
    n = len(set(patients.values()))
    free = n - len({patients[case] for case in seen if case in patients})
    if n <= HELD_OUT_MIN or free < max(HELD_OUT_MIN, round(share * n)):
        with pytest.raises(InputError, match="needs 4 patients"):
            deal_cases(patients, share=share, seed=seed, learned=seen)
        return
    train, held = deal_cases(patients, share=share, seed=seed, learned=seen)

    assert sorted(train + held) == sorted(patients)
    assert not {patients[c] for c in train} & {patients[c] for c in held}
    assert len({patients[c] for c in held}) == max(HELD_OUT_MIN, round(share * n))
    assert not set(held) & set(seen)
    backwards = dict(reversed(patients.items()))
    assert deal_cases(backwards, share=share, seed=seed, learned=seen) == (train, held)


@given(SCORES)
def test_no_case_has_a_say_in_the_step_by_which_it_is_scored(scores):
    found = choose(scores)

    for case in range(scores.shape[1]):
        others = np.delete(scores, case, axis=1).mean(axis=1)
        assert found.after[case] == scores[others.argmax(), case]
    assert found.step == scores.mean(axis=1).argmax()
    difference = found.after - scores[0]
    low, high = stats.ttest_1samp(difference, 0).confidence_interval()
    if difference.std() > 0:
        assert found.gain == pytest.approx((difference.mean(), low, high))
        assert found.better == (found.step > 0 and low > 0)


def test_scores_that_are_noise_are_no_gain():
    """The best of many looks better on the cases that chose it; on others it does not."""
    rng = np.random.default_rng(0)
    naive, honest, written = [], [], 0
    for _ in range(400):
        scores = 0.8 + rng.normal(0, 0.05, (15, 4))
        found = choose(scores)
        naive.append(scores[found.step].mean() - scores[0].mean())
        honest.append(found.gain[0])
        written += found.better

    assert np.mean(naive) > 0.03
    assert abs(np.mean(honest)) < 0.008
    assert written / 400 <= 0.03


def test_spread_is_that_of_the_raters_boxes_as_a_share_of_the_object():
    rng = np.random.default_rng(3)
    rows = []
    for k in range(600):
        side = np.array([40.0, 20.0, 40.0, 20.0]) * rng.uniform(1, 3)
        true = np.array([10, 10, 10 + side[0], 10 + side[1]])
        drawn = true + rng.normal(size=(3, 4)) * side * [0.02, 0.04, 0.06, 0.08]
        rows.append(("a", k, "organ", *drawn.mean(axis=0), drawn))
    table = pd.DataFrame(rows, columns=["case", "slice", "label", *BOX, MEMBERS])

    found = measure_spread(table)

    assert found.labels["organ"] == pytest.approx([0.02, 0.04, 0.06, 0.08], rel=0.1)
    assert found.px("organ", np.array([0, 0, 10.0, 100.0])) == pytest.approx(
        [0.2, 4, 0.6, 8], rel=0.1
    )
    assert found.px("other", np.array([0, 0, 10.0, 100.0])) == pytest.approx(
        found.px("organ", np.array([0, 0, 10.0, 100.0])), rel=1e-6
    )
    assert np.isnan(measure_spread(table.iloc[:2]).px("organ", np.ones(4))).all()


def test_a_true_object_is_asked_with_its_fused_box_or_a_moved_one(tmp_path):
    case = gold_case(tmp_path, "a", 0)
    objects = list(objects_in(case, case.read(), {"organ": 1}, single={"organ": True}))
    near, far = objects[0].box + 0.5, objects[1].box + 30
    fused = pd.DataFrame(
        [(1, "organ", *near), (2, "organ", *far)], columns=["slice", "label", *BOX]
    )
    spread = Spread({"organ": np.full(4, 0.05)}, None)

    found = prompts_of(case, objects, fused, spread=spread, seed=0)

    assert found["slice"].tolist() == [1, 2, 3, 4]
    boxes = found[BOX].to_numpy()
    assert boxes[0] == pytest.approx(near)
    strays = (boxes[1:] - [one.box for one in objects[1:]]).ravel()
    assert 0 < np.abs(strays).max() < 5
    still = prompts_of(case, objects, fused, spread=Spread({}, None), seed=0)
    assert still[BOX].to_numpy()[1] == pytest.approx(objects[1].box)


def test_pieces_of_a_label_that_may_be_there_twice_are_objects():
    truth = np.zeros((1, 8, 9), np.int32)
    truth[0, 1:3, 1:3] = truth[0, 5:7, 4:8] = 1
    case = GoldCase(name="a", patient="a", image=Path("a"), read=lambda: truth)

    one = list(objects_in(case, truth, {"cell": 1}, single={"cell": True}))
    two = list(objects_in(case, truth, {"cell": 1}, single={"cell": False}))

    assert [list(o.box) for o in one] == [[1, 1, 8, 7]]
    assert [list(o.box) for o in two] == [[1, 1, 3, 3], [4, 5, 8, 7]]
    assert (sum(o.mask for o in two) == truth[0]).all()
    assert setting().settings.prompts.n_prompts == 1
