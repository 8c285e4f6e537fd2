"""The risk of masks: what is wrong is risky, on balls and rods."""

import numpy as np
import pandas as pd
import pytest

from crowdqc.geometry import paired_iou
from crowdqc.risk import assess_risk, paired_dice
from crowdqc.risk.outliers import usual
from crowdqc.risk.table import COLUMNS
from crowdqc.risk.votes import mask_boxes

DEPTH, SIZE = 30, 64
LABELS = {"ball": 1, "rod": 2}


def case_stack(seed=0):
    """A ball over a rod, drawn a little differently by each seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    stack = np.zeros((DEPTH, SIZE, SIZE), dtype=np.uint8)
    for k in range(DEPTH):
        move = rng.normal(0, 0.4, 4)
        rod = (x - 48 - move[0]) ** 2 + (y - 40 - move[1]) ** 2 < 25
        stack[k][rod & (2 <= k < 28)] = 2
        share = 1 - ((k - 15) / 8.5) ** 2
        if share > 0:
            ball = (x - 20 - move[2]) ** 2 + (y - 20 - move[3]) ** 2 < 144 * share
            stack[k][ball] = 1
    return stack


CASES = [f"{n}" for n in range(6)]


def prompts(stacks):
    rows = []
    for case, stack in stacks.items():
        for label, value in LABELS.items():
            mask = stack == value
            planes = np.flatnonzero(mask.any(axis=(1, 2)))
            rows += [
                (case, k, label, *box)
                for k, box in zip(planes, mask_boxes(mask[planes]), strict=True)
            ]
    return pd.DataFrame(rows, columns=["case", "slice", "label", "x0", "y0", "x1", "y1"])


def images(spacing=3.0):
    frame = pd.DataFrame({"case": CASES}).merge(pd.DataFrame({"slice": range(DEPTH)}), how="cross")
    return frame.assign(spacing_x=1.0, spacing_y=1.0, spacing_z=spacing)


def assess(first, second=None, boxes=None, **further):
    sets = [first.get] if second is None else [first.get, second.get]
    truth = {case: case_stack(n) for n, case in enumerate(CASES)}
    options = {"labels": LABELS, "images": images(), **further}
    return assess_risk(prompts(truth) if boxes is None else boxes, sets, **options)


def good():
    return {case: case_stack(n) for n, case in enumerate(CASES)}


def other():
    return {case: case_stack(n + 50) for n, case in enumerate(CASES)}


def of(table, case="2", label="ball", slice_=15):
    mine = (table["case"] == case) & (table["label"] == label) & (table["slice"] == slice_)
    return table[mine].iloc[0]


def test_there_is_a_risk_from_0_to_1_for_each_mask():
    table = assess(good(), other())

    assert list(table.columns) == COLUMNS
    assert table["risk"].between(0, 1).all()
    assert len(table) == sum(int((s == v).any(axis=(1, 2)).sum()) for s in good().values()
                             for v in LABELS.values())  # fmt: skip
    assert not table.duplicated(["case", "slice", "label"]).any()


def move(stack):
    stack[15] = np.where(stack[15] == 1, 0, stack[15])
    stack[15, 30:50, 30:40] = 1


def shrink(stack):
    ball = stack[15] == 1
    stack[15][ball] = 0
    stack[15, 20:22, 20:22] = 1


def remove(stack):
    stack[15][stack[15] == 1] = 0


def overflow(stack):
    stack[15, :40, :40] = 1


@pytest.mark.parametrize("fault", [move, shrink, remove, overflow])
@pytest.mark.parametrize("two", [False, True], ids=["one set", "two sets"])
def test_a_wrong_mask_is_the_riskiest_but_for_ends(fault, two):
    first = good()
    fault(first["2"])

    table = assess(first, other() if two else None)

    worst = table.loc[table["risk"].where(table["end_mm"] > 6).idxmax()]
    assert (worst["case"], worst["label"], worst["slice"]) == ("2", "ball", 15)


def test_an_empty_mask_is_certainly_wrong():
    first = good()
    remove(first["2"])

    row = of(assess(first, other()))

    assert row["risk"] == 1
    assert row["support"] == 0
    assert np.isnan(row["box_iou"])


def test_disagreement_between_models_raises_the_risk():
    second = other()
    remove(second["2"])
    shrink(second["3"])

    table, calm = assess(good(), second), assess(good(), other())

    assert of(table)["agreement"] == 0
    assert of(table)["risk"] > of(calm)["risk"] + 0.1
    assert of(table, "3")["risk"] > of(calm, "3")["risk"] + 0.05


def test_ends_are_riskier_than_the_middle():
    table = assess(good(), other())
    ball = table[(table["label"] == "rod") & (table["case"] == "2")].set_index("slice")

    assert ball["risk"].idxmax() in {2, 27}
    assert ball.loc[2, "end_mm"] == 0
    assert ball.loc[14, "end_mm"] == 36


def test_a_run_that_goes_on_where_other_cases_end_is_risky():
    first, boxes = good(), prompts(good())
    first["2"][24:28][first["2"][24:28] == 0] = 0
    for k in range(24, 29):
        first["2"][k, 12:28, 12:28] = 1
    extra = pd.DataFrame(
        [("2", k, "ball", 12.0, 12.0, 28.0, 28.0) for k in range(24, 29)], columns=boxes.columns
    )

    table = assess(first, first, boxes=pd.concat([boxes, extra]))

    assert of(table, slice_=27)["extent"] < 0.1
    assert of(table, slice_=15)["extent"] > 0.9
    assert of(table, slice_=26)["risk"] > of(table, slice_=15)["risk"] + 0.4


def test_presence_is_the_posterior_of_a_box_that_is_four_times_likelier_where_the_organ_is():
    """By Bayes' rule in odds: posterior odds are four times the prior odds."""
    table = assess(good(), other())
    between = table[(table["extent"] > 0.05) & (table["extent"] < 0.95)]
    assert len(between)

    odds = 4 * between["extent"] / (1 - between["extent"])

    expected = 1 - odds / (1 + odds) * usual(between["place"].to_numpy()) * between["support"]
    np.testing.assert_allclose(between["risk"], expected)


def shown(stacks, *, dark=()):
    """Pictures on which balls and rods are bright; the balls of some cases are dark."""

    def pictures(case):
        grey = np.where(stacks[case] > 0, 180, 60) + stacks[case]
        return np.where((stacks[case] == 1) & (case in dark), 20, grey).astype(np.uint8)

    return pictures


def test_a_run_of_boxes_round_something_else_is_risky_throughout():
    """The ball of case 2 is drawn 20 px beside it on six slices, mask and box alike."""
    first = good()
    boxes = prompts(first)
    for k in range(12, 18):
        ball = first["2"][k] == 1
        first["2"][k][ball] = 0
        first["2"][k][np.roll(ball, 20, axis=1)] = 1
    run = (boxes["case"] == "2") & (boxes["label"] == "ball") & boxes["slice"].between(12, 17)
    boxes.loc[run, ["x0", "x1"]] += 20

    table = assess(first, boxes=boxes)

    wrong = table.merge(boxes[run], on=["case", "slice", "label"])
    right = table[(table["case"] != "2") & (table["end_mm"] > 6)]
    assert len(wrong) == 6
    assert wrong["place"].min() > 3.5
    assert wrong["risk"].min() > right["risk"].quantile(0.95)


def test_a_mask_of_other_grey_than_in_the_other_cases_is_risky():
    table = assess(good(), pictures=shown(good(), dark={"2"}))
    calm = assess(good(), pictures=shown(good()))

    assert of(table)["grey"] > 3.5
    assert of(table)["risk"] > of(calm)["risk"] + 0.2
    assert of(table, label="rod")["risk"] == of(calm, label="rod")["risk"]
    assert assess(good())["grey"].isna().all()


def test_the_rim_of_an_object_is_not_taken_for_it():
    """The mask of the ball of case 2 leaves its middle out."""
    first = good()
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    inner = (x - 20) ** 2 + (y - 20) ** 2 < 64
    first["2"][first["2"] == 1] *= ~np.broadcast_to(inner, first["2"].shape)[first["2"] == 1]

    table, calm = assess(first), assess(good())

    assert of(table)["core_fill"] < 0.1
    assert of(calm)["core_fill"] > 0.95
    assert of(table)["risk"] > of(calm)["risk"] + 0.5


def test_with_one_case_the_extent_is_not_known_and_not_held_against_it():
    boxes = prompts({"2": case_stack(2)})

    row = of(assess({"2": case_stack(2)}, {"2": case_stack(52)}, boxes=boxes))

    assert np.isnan(row["extent"])
    assert row["risk"] == pytest.approx(1 - row["support"])


def test_signals_are_what_they_are_called():
    table = assess(good(), other())

    row, stack = of(table), good()["2"]
    ball, box = stack[15] == 1, prompts({"2": stack}).query("slice == 15 and label == 'ball'")
    corners = box[["x0", "y0", "x1", "y1"]].to_numpy()
    assert row["area_mm2"] == ball.sum()
    assert row["box_iou"] == pytest.approx(paired_iou(mask_boxes(ball[None]), corners)[0])
    assert row["box_fill"] == pytest.approx(ball.sum() / np.prod(corners[0, 2:] - corners[0, :2]))
    assert row["agreement"] == pytest.approx(
        paired_dice(ball[None], other()["2"][15][None] == 1)[0]
    )


def test_a_mask_without_a_box_is_judged_too():
    boxes = prompts(good())
    boxes = boxes[~((boxes["case"] == "2") & (boxes["slice"] == 15) & (boxes["label"] == "ball"))]

    row = of(assess(good(), other(), boxes=boxes))

    assert np.isnan(row["box_iou"])
    assert 0 < row["risk"] < 0.5


def test_prompts_that_disagree_raise_the_risk():
    drawn = prompts(good())[["case", "slice", "label"]].assign(pairwise_dice=0.999)
    unsure = (drawn["case"] == "2") & (drawn["slice"] == 15)
    drawn.loc[unsure, "pairwise_dice"] = 0.1

    table, calm = assess(good(), prompts=drawn), assess(good())

    assert of(table)["risk"] > of(calm)["risk"]
    assert of(table, slice_=14)["risk"] < of(calm, slice_=14)["risk"]


def test_a_second_model_that_disagrees_raises_the_risk_and_is_the_agreement():
    drawn = prompts(good())[["case", "slice", "label"]].assign(model_dice=0.999)
    unsure = (drawn["case"] == "2") & (drawn["slice"] == 15)
    drawn.loc[unsure, "model_dice"] = 0.1

    table, calm = assess(good(), prompts=drawn), assess(good())

    assert of(table)["risk"] > of(calm)["risk"]
    assert of(table)["agreement"] == 0.1
    assert of(table, slice_=14)["risk"] < of(calm, slice_=14)["risk"]


def test_slices_beside_it_that_predict_another_mask_raise_the_risk():
    drawn = prompts(good())[["case", "slice", "label"]].assign(propagation_dice=0.999)
    unsure = (drawn["case"] == "2") & (drawn["slice"] == 15)
    drawn.loc[unsure, "propagation_dice"] = 0.1

    table, calm = assess(good(), prompts=drawn), assess(good())

    assert of(table)["risk"] > of(calm)["risk"]
    assert of(table, slice_=14)["risk"] < of(calm, slice_=14)["risk"]


def test_a_table_of_masks_without_such_columns_changes_nothing():
    drawn = prompts(good())[["case", "slice", "label"]].assign(model_dice=np.nan)

    for table in (drawn, drawn.drop(columns="model_dice")):
        pd.testing.assert_frame_equal(assess(good(), prompts=table), assess(good()))


def test_several_masks_of_a_label_on_a_slice_vote_together():
    drawn = prompts(good())[["case", "slice", "label"]]
    two = pd.concat([drawn.assign(pairwise_dice=0.4), drawn.assign(pairwise_dice=0.8)])

    table = assess(good(), prompts=two)

    pd.testing.assert_frame_equal(table, assess(good(), prompts=drawn.assign(pairwise_dice=0.6)))


def test_several_boxes_of_a_label_on_a_slice_count_together():
    twice = pd.concat([prompts(good())] * 2)

    assert len(assess(good(), boxes=twice)) == len(assess(good()))


def test_a_case_without_masks_has_no_rows():
    first = good()
    del first["2"]

    table = assess(first)

    assert "2" not in set(table["case"])
    assert assess({}).empty


def test_no_set_of_masks():
    with pytest.raises(ValueError, match="at least one set"):
        assess_risk(prompts(good()), [], labels=LABELS, images=images())


def test_unknown_spacing_is_a_usual_one():
    unknown = images().assign(spacing_x=np.nan, spacing_y=np.nan, spacing_z=np.nan)

    table = assess(good(), other(), images=unknown)

    pd.testing.assert_frame_equal(table, assess(good(), other()))


def test_an_end_within_the_volume_has_less_support_than_one_at_its_edge():
    stack = case_stack(2)
    boxes = prompts({"2": stack})
    cut = stack[2:]
    low = boxes[boxes["slice"] >= 2].assign(slice=lambda b: b["slice"] - 2)

    within = of(assess({"2": stack}, boxes=boxes), label="rod", slice_=2)
    at_edge = of(assess({"2": cut}, boxes=low), label="rod", slice_=0)

    assert within["support"] < at_edge["support"] - 0.2
