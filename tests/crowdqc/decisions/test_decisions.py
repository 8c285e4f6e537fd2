import errno
import multiprocessing
import os
import signal
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdqc.config import load_config
from crowdqc.decisions import (
    append_decisions,
    box_inputs,
    decisions_file,
    graded_boxes,
    mask_inputs,
    read_decisions,
    reviewer_agreement,
    settled_boxes,
    settled_masks,
    standing,
)
from crowdqc.decisions.rows import COLUMNS, parse_row, to_cells
from crowdqc.decisions.standing import CHANGED, CONFLICT, SETTLED
from crowdqc.findings import InputError
from crowdqc.schema import BOX
from tests.studies import TINY

HEAD = "decision,unit,case,slice,label,x0,y0,x1,y1,reviewer\n"


def row(decision="draw", box=(1, 2, 30, 40), **more):
    edges = dict(zip(BOX, map(float, box), strict=True)) if box else {}
    base = {"decision": decision, "unit": "box", "case": "1", "slice": 3, "label": "liver"}
    return {**base, **edges, "reviewer": "ann", **more}


def grade(word, **more):
    return row("grade", box=None, unit="mask", grade=word, **more)


@pytest.fixture
def config(tmp_path):
    (tmp_path / "study.toml").write_text(TINY, encoding="utf-8")
    return load_config(tmp_path / "study.toml")


def decided(config, *rows):
    append_decisions(decisions_file(config), rows)
    return read_decisions(config)


OBJECTS = pd.DataFrame(
    [
        ("1", 3, "liver", 0, 0, 30, 40),
        ("1", 3, "liver", 60, 60, 90, 90),
        ("1", 4, "liver", 0, 0, 9, 9),
    ],
    columns=["case", "slice", "label", *BOX],
)


def settled(table, objects=OBJECTS, now="h"):
    return settled_boxes(table, objects, lambda _: now)


def test_without_a_file_nothing_is_decided(config):
    table = read_decisions(config)

    assert len(table) == 0
    assert list(table.columns) == [*COLUMNS, "line"]
    assert len(settled(table)) == len(settled_masks(table, lambda _: "")) == 0


def test_what_is_added_is_read_back(config):
    when = 1_800_000_000.125
    table = decided(
        config,
        row("rater", rater='Köln, "x"', object=0, time=when, seconds=2.5, inputs="ab12"),
        grade("usable", dice=0.75),
    )

    first, second = table.to_dict("records")
    assert (first["rater"], first["object"], first["time"]) == ('Köln, "x"', 0, when)
    assert [first[edge] for edge in BOX] == [1, 2, 30, 40]
    assert (second["grade"], second["dice"], second["line"]) == ("usable", 0.75, 3)
    assert np.isnan(second["x0"])


@given(
    st.sampled_from(["accept", "draw", "real", "nothing", "undo"]),
    st.tuples(*[st.floats(-1e4, 1e4).map(lambda v: round(v, 3))] * 2, *[st.integers(1, 500)] * 2),
    st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=20),
)
def test_any_row_survives_writing(decision, corner, case):
    x, y, w, h = corner
    written = row(decision, (x, y, x + w, y + h), case=case.strip() or "c", seconds=0.5)

    found = parse_row(dict(zip(COLUMNS, to_cells(written), strict=True)))

    assert {name: found[name] for name in written} == pytest.approx(written)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("\n", r"csv:1: the column 'decision' is not there"),
        ("decision,unit,case\n", r"csv:1: the column 'slice' is not there"),
        (HEAD.replace("x0", "left"), r"csv:1: no column is called 'left'"),
        (HEAD.replace("x0", "y0"), r"csv:1: two columns are called 'y0'"),
        (HEAD + "maybe,box,1,3,liver,1,2,3,4,ann\n", r"csv:2: 'decision' must be accept or "),
        (HEAD + "draw,ball,1,3,liver,1,2,3,4,ann\n", r"'unit' must be box or mask; got 'ball'"),
        (HEAD + "draw,box,1,x,liver,1,2,3,4,ann\n", r"csv:2: 'slice' must be a number"),
        (HEAD + "draw,box,1,1.5,liver,1,2,3,4,ann\n", r"csv:2: 'slice' must be a whole number"),
        (HEAD + "\ndraw,box,1,3,liver,9,2,3,4,ann\n", r"csv:3: 'x0, y0, x1, y1' must have x0 < x1"),
        (HEAD + "draw,box,1,3,liver,,,,,ann\n", r"must be given where the decision is 'draw'"),
        (HEAD + "draw,box,1,3,,1,2,3,4,ann\n", r"csv:2: 'label' must not be empty"),
        (HEAD + "draw,box,1,3,liver,1,2,3,4,=cmd\n", r"'reviewer' must be a name"),
        (HEAD + "draw,box,1,3,liver,1,2,inf,4,ann\n", r"'x1' must be a number or empty; got"),
        (HEAD + "draw,box,1,3,liver,1,2,3,4,ann,7\n", r"csv:2: has 11 fields; the first"),
        (HEAD + "draw,box,1,3\n", r"csv:2: has 4 fields"),
        (HEAD + 'draw,box,"1,3\n', r"csv:2: "),
        (HEAD.strip() + ",time\ndraw,box,1,3,liver,1,2,3,4,ann,noon\n", r"'time' must be like"),
        (HEAD.strip() + ",grade\ndraw,box,1,3,liver,1,2,3,4,ann,bad\n", r"'grade' is for the"),
        (HEAD.strip() + ",grade\ngrade,mask,1,3,liver,,,,,ann,poor\n", r"'grade' must be good or"),
    ],
)  # fmt: skip
def test_a_bad_file_is_refused_with_line_value_rule(config, text, says):
    decisions_file(config).write_text(text, encoding="utf-8")

    with pytest.raises(InputError, match=says):
        read_decisions(config)


def test_a_file_of_very_many_columns_is_refused_soon(config):
    decisions_file(config).write_text("case," * 100_000 + "\n", encoding="utf-8")
    began = time.process_time()

    with pytest.raises(InputError, match=r"decisions\.csv:1: no column is called"):
        read_decisions(config)

    assert time.process_time() - began < 5


def test_a_file_by_hand_needs_few_columns_in_any_order(config):
    text = "reviewer,label,slice,case,unit,decision,time\nann,liver,3,1,box,nothing,2026-01-31\n"
    decisions_file(config).write_text(text, encoding="utf-8-sig")

    found = settled(read_decisions(config))

    assert found[["object", "real", "state"]].to_numpy().tolist() == [
        [0, False, SETTLED],
        [1, False, SETTLED],
    ]


def test_the_last_decision_counts_and_undo_takes_one_back(config):
    steps = [row("accept", object=0), row("nothing", object=0), row("undo", object=0)]

    assert standing(decided(config, *steps[:2]))["decision"].tolist() == ["nothing"]
    assert standing(decided(config, steps[2]))["decision"].tolist() == ["accept"]
    assert len(standing(decided(config, steps[2], steps[2]))) == 0
    assert standing(decided(config, row("skip", object=0)))["decision"].tolist() == ["skip"]


def test_a_decision_settles_the_object_of_its_number_or_that_it_overlaps(config):
    table = decided(
        config,
        row("draw", (100, 100, 120, 120), object=0),
        row("draw", (61, 61, 91, 91)),
        row("draw", (200, 0, 220, 20)),
        row("nothing", (200, 200, 220, 220)),
        row("nothing", None, slice=4, object=0),
    )

    found = settled(table).set_index(["slice", "object"])

    assert found["real"].to_dict() == {(3, 0): True, (3, 1): True, (3, 2): True, (4, 0): False}
    assert found.loc[(3, 0), BOX].tolist() == [100, 100, 120, 120]
    assert found.loc[(3, 2), BOX].tolist() == [200, 0, 220, 20]
    assert (found["state"] == SETTLED).all()


def test_two_reviewers_are_averaged_or_in_conflict(config):
    table = decided(
        config,
        row("draw", (0, 0, 30, 40), object=0),
        row("draw", (2, 0, 30, 44), object=0, reviewer="bob"),
        row("draw", (60, 60, 90, 90), object=1),
        row("nothing", None, object=1, reviewer="bob"),
    )

    one, two = settled(table).to_dict("records")
    assert (one["state"], one["reviewers"]) == (SETTLED, "ann, bob")
    assert [one[edge] for edge in BOX] == [1, 0, 30, 42]
    assert [one[f"spread_{edge}"] for edge in BOX] == [1, 0, 0, 2]
    assert two["state"] == CONFLICT
    assert reviewer_agreement(table, OBJECTS)[["n", "agreed"]].to_numpy().tolist() == [[2, 0.5]]


def test_what_was_decided_on_other_boxes_does_not_count(config):
    table = decided(config, row(object=0, inputs="old"), row(object=1, inputs="h"))

    assert settled(table)["state"].tolist() == [CHANGED, SETTLED]
    assert settled(table).query("state == 'changed'")["object"].tolist() == [0]


def test_the_worst_grade_counts(config):
    table = decided(config, grade("good"), grade("usable", reviewer="bob"), grade("bad", slice=5))

    found = settled_masks(table, lambda _: "")

    assert found["grade"].tolist() == ["usable", "bad"]
    assert found["state"].tolist() == [CONFLICT, SETTLED]


def test_grades_of_boxes_settle_nothing_and_the_worst_counts(config):
    said = {"box": None, "object": 1}
    table = decided(
        config,
        row("grade", (1, 0, 30, 40), grade="good"),  # of the object that the box overlaps most
        row("grade", **said, grade="usable", inputs="h"),
        row("grade", **said, grade="bad", reviewer="bob"),
        row("grade", **said, grade="bad", reviewer="cyd", inputs="old"),
        row("grade", None, slice=4, object=0, grade="bad", inputs="old"),
        row("grade", None, slice=4, object=0, grade="good", reviewer="bob"),
        row("draw", slice=4, object=0, reviewer="bob"),  # the last word of bob
    )

    found = graded_boxes(table, OBJECTS, lambda _: "h")

    assert found[["slice", "object", "grade", "state", "reviewers"]].to_numpy().tolist() == [
        [3, 0, "good", SETTLED, "ann"],
        [3, 1, "bad", CONFLICT, "ann, bob"],
        [4, 0, "bad", CHANGED, "ann"],
    ]
    assert found[BOX].iloc[0].tolist() == [1, 0, 30, 40]
    assert found[BOX].iloc[1:].isna().all(axis=None)
    assert settled(table)[["slice", "decision"]].to_numpy().tolist() == [[4, "draw"]]
    agreed = reviewer_agreement(table, OBJECTS).set_index(["reviewer", "other"])[["n", "agreed"]]
    assert agreed.loc[("ann", "bob")].tolist() == [1, 0]
    assert agreed.loc[("bob", "cyd")].tolist() == [1, 1]
    assert graded_boxes(table.iloc[:0], OBJECTS, lambda _: "h").empty


def test_hashes_depend_on_boxes_and_not_on_their_order():
    boxes = pd.DataFrame([("a", 1, 2, 3, 4), ("b", 1, 2, 3, 5)], columns=["rater", *BOX])
    moved = boxes.assign(x1=[3.0, 3.5])
    same = box_inputs(boxes, iou=0.3)

    assert box_inputs(boxes.iloc[::-1], iou=0.3) == same
    assert len({same, box_inputs(moved, iou=0.3), box_inputs(boxes, iou=0.4)}) == 3
    mask = np.eye(4, dtype=np.uint8)
    assert mask_inputs(mask * 7) == mask_inputs(mask) != mask_inputs(mask[::-1])


def test_a_row_that_was_not_written_whole_is_cut_off(config):
    path = decisions_file(config)
    decided(config, row(object=0))
    whole = path.read_bytes()
    decided(config, row(object=1))
    path.write_bytes(path.read_bytes()[: len(whole) + 20])

    assert read_decisions(config)["object"].tolist() == [0]
    assert decided(config, row(object=2))["object"].tolist() == [0, 2]


def test_a_last_line_by_hand_needs_no_end_of_line(config):
    path = decisions_file(config)
    decided(config, row(object=0))
    path.write_bytes(path.read_bytes().rstrip())

    assert decided(config, row(object=1))["object"].tolist() == [0, 1]


def test_a_full_disk_leaves_the_file_as_it_was(config, monkeypatch):
    decided(config, row(object=0))
    before = decisions_file(config).read_bytes()
    monkeypatch.setattr(os, "fsync", _full)

    with pytest.raises(InputError, match=r"decisions\.csv: not saved: No space left"):
        append_decisions(decisions_file(config), [row(object=1)])

    assert decisions_file(config).read_bytes() == before


def _full(_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_neither_links_nor_folders_nor_other_tables_are_written(config, tmp_path):
    path, other = decisions_file(config), tmp_path / "other"
    other.write_text("keep")
    path.symlink_to(other)
    with pytest.raises(InputError, match="not saved"):
        append_decisions(path, [row()])
    path.unlink()
    path.write_text("name,age\nx,1\n")
    with pytest.raises(InputError, match="whose first line is decision,unit"):
        append_decisions(path, [row()])
    assert (other.read_text(encoding="utf-8"), path.read_text(encoding="utf-8")) == (
        "keep",
        "name,age\nx,1\n",
    )
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match="not saved"):
        append_decisions(path, [row()])


def test_a_bad_row_is_not_written(config):
    with pytest.raises(InputError, match="not saved: 'case' must be one line"):
        append_decisions(decisions_file(config), [row(), row(case="a\nb")])
    assert not decisions_file(config).exists()


def _add_many(path, reviewer):
    for number in range(40):
        append_decisions(path, [row(object=number, reviewer=reviewer)])


def test_two_processes_do_not_mix_their_rows(config):
    context = multiprocessing.get_context("spawn")
    path = decisions_file(config)
    both = [context.Process(target=_add_many, args=(path, name)) for name in ("ann", "bob")]
    for one in both:
        one.start()
    for one in both:
        one.join()

    table = read_decisions(config)
    assert table.groupby("reviewer")["object"].apply(list).tolist() == [list(range(40))] * 2


def _tell(path, told):
    for number in range(10_000):
        append_decisions(path, [row(object=number)])
        os.write(told, b".")


def test_killed_at_any_moment_no_saved_decision_is_lost(config):
    context = multiprocessing.get_context("fork")
    path, saved = decisions_file(config), 0
    for k in range(20):
        read, told = os.pipe()
        one = context.Process(target=_tell, args=(path, told))
        one.start()
        os.close(told)
        time.sleep(0.005 + 0.002 * k)
        os.kill(one.pid, signal.SIGKILL)
        one.join()
        with os.fdopen(read, "rb") as file:
            saved += len(file.read())

    assert saved <= len(read_decisions(config)) <= saved + 20
