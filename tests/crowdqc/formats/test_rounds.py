import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdqc.config import load_config
from crowdqc.findings import InputError
from crowdqc.formats import annotation_files, read_rounds, read_study
from crowdqc.formats.rounds import Round, merge_rounds
from crowdqc.schema import BOX, Study
from tests.commands import call
from tests.studies import TINY

LABELS = ("liver", "spleen")
KEYS = ["case", "slice", "rater"]
SPLEEN, LIVER, WIDE = "0 0.5 0.5 0.2 0.2\n", "1 0.3 0.3 0.2 0.2\n", "0 0.5 0.5 0.4 0.4\n"


def study_of(readings):
    """A study from ``(slice, rater) -> (labels asked, labels drawn, opened)``, and a left edge."""
    rows, boxes = [], []
    for (k, rater), (asked, drawn, opened, edge) in readings.items():
        there = [label for label in drawn if not opened and label in (asked or LABELS)]
        state = "opened" if opened else "boxed" if there else "reviewed_empty"
        rows.append(("1", k, rater, " ".join(asked), state))
        boxes += [("1", k, rater, label, edge, 1.0, 50.0, 9.0) for label in there]
    frame = pd.DataFrame(boxes, columns=[*KEYS, "label", *BOX])
    read = pd.DataFrame(rows, columns=[*KEYS, "labels", "state"])
    images = pd.DataFrame({"case": "1", "slice": range(3), "height": 60, "width": 60})
    boxes = frame.assign(box=range(len(frame)))
    return Study("s", LABELS, images, read, boxes, single=frozenset(LABELS))


some = st.lists(st.sampled_from(LABELS), unique=True)
reading = st.tuples(some, some, st.booleans(), st.integers(0, 9).map(float))
a_round = st.dictionaries(
    st.tuples(st.integers(0, 2), st.sampled_from(["ann", "bob"])), reading, min_size=1
)


@settings(max_examples=60)
@given(st.lists(a_round, min_size=2, max_size=4))
def test_of_each_label_the_last_round_that_read_it_counts(rounds):
    merged, old = merge_rounds([Round(n, study_of(one)) for n, one in enumerate(rounds, start=1)])

    expected, replaced, read = {}, 0, set()
    for one in rounds:
        for place, (asked, drawn, opened, edge) in one.items():
            if opened:
                continue
            read.add(place)
            for label in asked or LABELS:
                replaced += expected.pop((*place, label), None) is not None
                if label in drawn:
                    expected[(*place, label)] = edge
    found = {
        (row.slice, row.rater, row.label): row.x0 for row in merged.boxes.itertuples()
    }  # fmt: skip
    states = merged.readings.set_index(["slice", "rater"])["state"].to_dict()
    assert found == expected
    assert len(old) == replaced
    assert {place for place, state in states.items() if state != "opened"} == read
    assert {place[:2] for place in expected} == {p for p, s in states.items() if s == "boxed"}


@pytest.fixture
def study(tmp_path):
    """Round 1: both organs on three slices by two raters; round 2: `ann` draws slice 1 again."""
    for rater in ("ann", "bob"):
        (tmp_path / "boxes" / rater).mkdir(parents=True)
        for k in range(3):
            (tmp_path / "boxes" / rater / f"1-{k}.txt").write_text(SPLEEN + LIVER)
    (tmp_path / "again" / "ann").mkdir(parents=True)
    (tmp_path / "again" / "ann" / "1-1.txt").write_text(WIDE)
    text = TINY.replace("path =", 'rounds = ["boxes", "again", "third"]\npath =')
    (tmp_path / "study.toml").write_text(text)
    return tmp_path / "study.toml"


def test_a_later_folder_replaces_what_it_reads_and_loses_nothing(study):
    assert call("check", study).exit_code == 0

    out = study.parent / "out"
    boxes, old = pd.read_csv(out / "boxes.csv"), pd.read_csv(out / "superseded.csv")
    readings = pd.read_csv(out / "readings.csv").set_index(["rater", "slice"])
    ann = boxes[boxes["rater"] == "ann"].set_index(["slice", "label"])["source"].to_dict()
    assert ann[1, "spleen"] == "again/ann/1-1.txt:1"
    assert (1, "liver") not in ann  # the second reading was of both organs
    assert sorted(old["source"]) == ["boxes/ann/1-1.txt:1", "boxes/ann/1-1.txt:2"]
    assert readings.loc[("ann", 1), "round"] == 2
    assert readings.loc[("bob", 1), "round"] == 1
    assert len(boxes) + len(old) == 13


def test_a_round_that_has_not_come_yet_is_told_and_one_that_grows_is_read_again(study):
    config = load_config(study)

    rounds, findings = read_rounds(config)

    assert [one.number for one in rounds] == [1, 2]
    assert [one.message for one in findings if one.check == "round-empty"] == [
        "third: round 3 holds no annotations yet."
    ]
    before = annotation_files(config)
    (study.parent / "third" / "bob").mkdir(parents=True)
    (study.parent / "third" / "bob" / "1-0.txt").write_text(LIVER)
    assert len(annotation_files(config)) == len(before) + 1
    assert read_study(config)[0].readings["round"].max() == 3


def test_a_round_that_was_asked_for_one_label_leaves_the_others_alone(study):
    text = study.read_text(encoding="utf-8") + '[assignments]\npath = "a.csv"\n'
    study.write_text(text)
    (study.parent / "a.csv").write_text(
        "rater,case,label,slices,round\nann,1,,,1\nbob,1,,,1\nann,1,spleen,1,2\n"
    )

    assert call("check", study).exit_code == 0

    boxes = pd.read_csv(study.parent / "out" / "boxes.csv")
    ann = boxes[(boxes["rater"] == "ann") & (boxes["slice"] == 1)]
    assert ann.set_index("label")["source"].to_dict() == {
        "spleen": "again/ann/1-1.txt:1",
        "liver": "boxes/ann/1-1.txt:2",
    }


@pytest.mark.parametrize(
    ("rounds", "says"),
    [('["round1", "again"]', "rounds must begin with"), ('["boxes", "boxes"]', "that differ")],
)
def test_rounds_that_do_not_fit_the_path_are_refused(study, rounds, says):
    study.write_text(
        study.read_text(encoding="utf-8").replace('["boxes", "again", "third"]', rounds)
    )

    with pytest.raises(InputError, match=says):
        load_config(study)
