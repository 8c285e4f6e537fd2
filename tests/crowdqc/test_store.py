import errno
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdqc.findings import Finding, InputError, Severity
from crowdqc.links import STATE
from crowdqc.schema import conform
from crowdqc.store import Store
from crowdqc.writing import atomic

names = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), max_size=8)


@given(st.lists(st.tuples(names, st.none() | st.floats(allow_nan=False)), max_size=4))
def test_a_table_is_read_as_it_was_written(tmp_path_factory, rows):
    store = Store(tmp_path_factory.mktemp("x") / "out", "s")
    frame = conform(
        "scores",
        pd.DataFrame(
            [
                {"set": s, "case": s, "label": s, "dice": v if v is not None else np.nan}
                for s, v in rows
            ],
            columns=["set", "case", "slice", "label", "dice"],
        ),
    )

    store.write("scores", frame)

    pd.testing.assert_frame_equal(store.read("scores"), frame)


def test_findings_are_kept_by_stage(tmp_path):
    store = Store(tmp_path / "out", "s")
    finding = Finding(check="c", severity=Severity.NOTE, message="m")

    store.write_findings("complete", [finding])

    assert store.read_findings("complete") == [finding]
    assert store.read_findings("check") == []


def test_results_of_another_study_are_not_touched(tmp_path):
    Store(tmp_path / "out", "mine").write_text("x.txt", "x")

    with pytest.raises(InputError, match=r"'mine', not of 'yours'"):
        Store(tmp_path / "out", "yours")


def test_a_folder_with_files_of_somebody_else_is_not_touched(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")

    with pytest.raises(InputError, match="not written by crowdqc"):
        Store(tmp_path, "s")


def test_another_format_version_is_refused(tmp_path):
    store = Store(tmp_path / "out", "s")
    store.write_text("x.txt", "x")
    state = json.loads(store.path(STATE).read_text(encoding="utf-8"))
    store.path(STATE).write_text(json.dumps({**state, "format_version": 99}))

    with pytest.raises(InputError, match="99"):
        Store(tmp_path / "out", "s")


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("")

    with pytest.raises(InputError, match="is a file"):
        Store(tmp_path / "out", "s")


def test_a_folder_that_cannot_be_put_in_its_place_leaves_the_one_before(tmp_path, monkeypatch):
    store = Store(tmp_path / "out", "s")
    with store.new_folder("masks") as folder:
        (folder / "1.txt").write_text("good")
    replace = Path.replace

    def full(self, target):
        if self.name == "new":
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(InputError, match="No space left"), store.new_folder("masks") as folder:
        (folder / "1.txt").write_text("half")

    assert (store.path("masks") / "1.txt").read_text(encoding="utf-8") == "good"
    assert not list(store.folder.glob(".part-*"))


def test_a_stamp_counts_only_while_its_files_are_there(tmp_path):
    store = Store(tmp_path / "out", "s")
    store.write_text("x.txt", "x")
    store.set_stamp("check", "abc", ["x.txt"])

    assert store.stamp_of("check") == "abc"
    assert store.stamp_of("agree") is None
    store.path("x.txt").unlink()
    assert store.stamp_of("check") is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "is not there"),
        ("", "is not the table"),
        ("a,b\n1,2\n", "lacks"),
        ("\x00", "not the"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path, text, says):
    store = Store(tmp_path / "out", "s")
    store.write_text("raters.csv", text or "")
    if text is None:
        store.path("raters.csv").unlink()

    with pytest.raises(InputError, match=says):
        store.read("raters")


def test_a_failed_write_leaves_the_last_good_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("good")

    def write_half():
        with atomic(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()

    assert path.read_text(encoding="utf-8") == "good"
    assert list(tmp_path.iterdir()) == [path]
