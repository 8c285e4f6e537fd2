"""Every format is written and read again: nothing is lost of what it can say."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crowdqc.config import load_config
from crowdqc.findings import InputError, Severity
from crowdqc.formats import read_study
from crowdqc.formats.conversion import convert, written_formats
from crowdqc.schema import Study

EDGES = ["x0", "y0", "x1", "y1"]
LABELS = ("spleen", "left_kidney")

corner = st.floats(0, 60, allow_subnormal=False)
side = st.floats(0.01, 40, allow_subnormal=False)
box = st.tuples(st.sampled_from(LABELS), corner, corner, side, side)
name = (
    st.text("abAB01 é-_.~ß{}", min_size=1, max_size=6)
    .map(str.strip)
    .filter(lambda text: text.strip(" .") == text and text)
)
reading = st.one_of(st.just([]), st.lists(box, min_size=1, max_size=3, unique=True))


@st.composite
def studies(draw):
    """Studies of boxed and reviewed readings."""
    cases = draw(st.lists(name, min_size=1, max_size=2, unique_by=str.casefold))
    raters = draw(st.lists(name, min_size=1, max_size=3, unique_by=str.casefold))
    drawn = {
        (case, slice_, rater): draw(reading)
        for case in cases
        for slice_ in (0, 7)
        for rater in raters
    }
    return make_study(drawn)


def make_study(drawn, state="reviewed_empty", **more):
    images = sorted({(case, slice_) for case, slice_, _ in drawn})
    boxes = [
        (i, *key, label, x, y, min(x + w, 110), min(y + h, 100), "")
        for i, (key, (label, x, y, w, h)) in enumerate(
            (key, one) for key, group in drawn.items() for one in group
        )
    ]
    readings = [(*key, "", "boxed" if group else state) for key, group in drawn.items()]
    tables = {
        "images": pd.DataFrame(images, columns=["case", "slice"]).assign(height=100, width=110),
        "readings": pd.DataFrame(readings, columns=["case", "slice", "rater", "labels", "state"]),
        "boxes": pd.DataFrame(
            boxes, columns=["box", "case", "slice", "rater", "label", *EDGES, "source"]
        ),
    }
    return Study(name="s", labels=LABELS, **{**tables, **more}, single=frozenset(["spleen"]))


def reread(study, format, folder):
    losses = convert(study, format, folder)
    again, findings = read_study(load_config(folder / "study.toml"))
    return again, losses, findings


def keyed(frame, columns):
    rows = frame.sort_values(columns, kind="stable")[columns]
    return rows.reset_index(drop=True)


@pytest.mark.parametrize("format", written_formats())
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(study=studies())
def test_a_study_survives_being_written_and_read(format, tmp_path_factory, study):
    folder = tmp_path_factory.mktemp("convert") / "new"

    again, losses, findings = reread(study, format, folder)

    changed = [f for f in losses if f.check == "name-changed"]
    assert losses == changed
    assert not [f for f in findings if f.severity is Severity.REJECT]
    assert again.labels == study.labels
    assert again.single == study.single
    if not changed:
        key = ["case", "slice", "rater"]
        pd.testing.assert_frame_equal(
            keyed(again.readings, [*key, "labels", "state"]),
            keyed(study.readings, [*key, "labels", "state"]),
        )
        order = [*key, "label"]
        np.testing.assert_array_equal(keyed(again.boxes, order), keyed(study.boxes, order))
    # Boxes of one reading stay in their order.
    np.testing.assert_allclose(
        np.sort(again.boxes[EDGES].to_numpy(), axis=0),
        np.sort(study.boxes[EDGES].to_numpy(), axis=0),
        atol=1e-9,
    )


@pytest.mark.parametrize("format", written_formats())
def test_each_box_stays_with_its_slice_rater_and_label(format, tmp_path):
    study = make_study(
        {
            ("p1", 3, "ann"): [("spleen", 1, 2, 30, 40), ("left_kidney", 5.25, 6.5, 7, 8)],
            ("p1", 3, "bob"): [("spleen", 2, 3, 30, 40)],
            ("p1", 4, "ann"): [],
            ("p2", 3, "bob"): [("left_kidney", 9, 9, 9, 9)],
        }
    )

    again, losses, findings = reread(study, format, tmp_path / "new")

    assert losses == []
    assert findings == []
    pd.testing.assert_frame_equal(again.images, study.images)
    columns = ["case", "slice", "rater", "label", *EDGES]
    pd.testing.assert_frame_equal(
        keyed(again.boxes, columns), keyed(study.boxes, columns), atol=1e-9
    )
    expected = study.readings.sort_values(["case", "slice", "rater"], ignore_index=True)
    pd.testing.assert_frame_equal(again.readings, expected)


@pytest.mark.parametrize("format", written_formats())
def test_readings_that_were_only_opened_are_never_written_as_reviewed(format, tmp_path):
    study = make_study({("p", 0, "a"): [("spleen", 1, 2, 3, 4)], ("p", 1, "a"): []}, state="opened")

    again, losses, _ = reread(study, format, tmp_path / "new")

    states = dict(zip(again.readings["slice"], again.readings["state"], strict=True))
    if format in {"yolo", "voc", "labelstudio"}:
        assert states == {0: "boxed", 1: "opened"}
        assert losses == []
    else:
        assert states == {0: "boxed"}
        assert {(f.check, f.value) for f in losses} == {("opened-lost", 1.0), ("unread-lost", 1.0)}


def test_an_empty_yolo_file_means_one_thing(tmp_path):
    readings = pd.DataFrame(
        [("p", 0, "a", "", "reviewed_empty"), ("p", 1, "a", "", "opened")],
        columns=["case", "slice", "rater", "labels", "state"],
    )
    study = make_study({("p", 0, "a"): [], ("p", 1, "a"): []}, readings=readings)

    again, losses, _ = reread(study, "yolo", tmp_path / "new")

    assert again.readings["state"].tolist() == ["reviewed_empty"]
    assert [f.check for f in losses] == ["opened-lost", "unread-lost"]


def test_what_no_format_can_say_is_told(tmp_path):
    study = make_study({("p", 0, "a"): [("spleen", 1, 2, 3, 4)], ("p", 1, "a"): []})
    readings = study.readings.assign(labels="spleen")
    images = study.images.assign(
        spacing_x=1.0, spacing_y=1.0, spacing_z=[1.0, 2.0], width=[110, 120]
    )
    study = make_study(
        {("p", 0, "a"): [("spleen", 1, 2, 3, 4)], ("p", 1, "a"): []},
        readings=readings,
        images=images,
    )

    losses = convert(study, "yolo", tmp_path / "new")

    assert {f.check: f.value for f in losses} == {
        "asked-lost": 2.0,
        "spacing-lost": 2.0,
        "size-lost": 2.0,
    }


@pytest.mark.parametrize("format", ["coco", "cvat", "labelstudio", "voc", "table"])
def test_sizes_that_differ_are_kept_where_the_format_says_them(format, tmp_path):
    study = make_study({("p", 0, "a"): [("spleen", 1, 2, 3, 4)], ("p", 1, "a"): []})
    images = study.images.assign(width=[110, 120])
    study = make_study({("p", 0, "a"): [("spleen", 1, 2, 3, 4)], ("p", 1, "a"): []}, images=images)

    again, losses, _ = reread(study, format, tmp_path / "new")

    assert losses == []
    assert again.images["width"].tolist() == [110, 120]


@pytest.mark.parametrize("format", written_formats())
def test_names_that_are_no_file_names_are_changed_and_never_leave_the_folder(format, tmp_path):
    drawn = {(case, 0, r): [("spleen", 1, 2, 3, 4)] for case in ("../x", "..") for r in ("A", "a")}

    again, losses, findings = reread(make_study(drawn), format, tmp_path / "deep" / "new")

    assert [f.check for f in losses] == ["name-changed", "name-changed"]
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
    assert len(again.boxes) == 4
    assert len({rater.casefold() for rater in again.raters}) == 2
    assert findings == []


def test_a_folder_with_anything_in_it_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    study = make_study({("p", 0, "a"): []})

    with pytest.raises(InputError, match="not an empty folder"):
        convert(study, "coco", tmp_path)
    with pytest.raises(InputError, match=r"format must be one of coco, .*; got 'xml'"):
        convert(study, "xml", tmp_path / "new")


def test_a_label_of_letters_beyond_the_first_plane_is_read_again(tmp_path):
    study = make_study({("p", 0, "a"): []})
    study = dataclasses.replace(study, labels=("𠀀",), single=frozenset())

    again, losses, _ = reread(study, "coco", tmp_path / "new")

    assert again.labels == ("𠀀",)
    assert losses == []
