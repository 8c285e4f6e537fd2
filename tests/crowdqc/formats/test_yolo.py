import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from crowdqc.findings import InputError, Severity
from crowdqc.formats import read_study

RATERS = 'format = "yolo"\npath = "boxes/{rater}/img{case}-slice{slice}.txt"\nsize = [100, 200]'
ONE_EACH = (
    'format = "yolo"\npath = "boxes/img{case}-slice{slice}.txt"\nsize = [100, 200]\n'
    'rater_of = { spleen = "A", liver = "B" }'
)


def states(study):
    rows = study.readings.itertuples()
    return {(r.case, r.slice, r.rater): r.state for r in rows}


def test_fractions_become_pixels(make_config, write):
    write("boxes/a/img1-slice007.txt", "1 0.5 0.5 0.25 0.5\n")

    study, findings = read_study(make_config(RATERS))

    box = study.boxes.iloc[0]
    assert (box.case, box.slice, box.rater, box.label) == ("1", 7, "a", "liver")
    assert box[["x0", "y0", "x1", "y1"]].tolist() == [75.0, 25.0, 125.0, 75.0]
    assert box.source == "boxes/a/img1-slice007.txt:1"
    assert study.images.loc[0, ["height", "width"]].tolist() == [100, 200]
    assert findings == []


@pytest.mark.parametrize(
    "data",
    [
        b"0 .5 .5 .2 .2\r\n1 .5 .5 .3 .3\r\n",
        b"\xef\xbb\xbf0 .5 .5 .2 .2\n1 .5 .5 .3 .3",
        b"\n\n0  .5 .5\t.2 .2   \n \n1 .5 .5 .3 .3\n\n",
        b"0 .5 .5 .2 .2\r1 .5 .5 .3 .3\r",
    ],
    ids=["CRLF", "BOM", "blank lines, tabs, trailing spaces", "CR"],
)
def test_the_ways_in_which_tools_write_lines(make_config, write, data):
    write("boxes/a/img1-slice0.txt", data)

    study, findings = read_study(make_config(RATERS))

    assert sorted(study.boxes["label"]) == ["liver", "spleen"]
    assert findings == []


@pytest.mark.parametrize(
    ("line", "check", "says"),
    [
        ("0 .5 .5 .2", "field-count", "has 4 fields"),
        ("0 .5 .5 .2 .2 .9", "field-count", "has 6 fields"),
        ("0 .5 .5 .2 wide", "not-a-number", "height is 'wide'"),
        ("0 .5 1_0 .2 .2", "not-a-number", "y_centre is '1_0'"),
        ("0 .5 ٣ .2 .2", "not-a-number", "y_centre is '٣'"),
        ("0 nan .5 .2 .2", "box-not-finite", "x_centre is nan"),
        ("0 .5 .5 inf .2", "box-not-finite", "width is inf"),
        ("0 .5 .5 1e999 .2", "box-not-finite", "width is 1e999"),
        ("0 .5 .5 0 .2", "box-empty", "width is 0"),
        ("0 .5 .5 .2 -.1", "box-empty", "height is -.1"),
        ("7 .5 .5 .2 .2", "unknown-class", "class '7' .*0 .spleen., 1 .liver."),
        ("0 .5 .5 .2 1.001", "box-outside-image", "200 x 100 reaches beyond"),
        ("0 .01 .5 .2 .2", "box-outside-image", r"\(-18, 40, 22, 60\)"),
        ("0 .5 .5 .1 .1", "box-twice", "second time"),
    ],
)
def test_a_malformed_line_is_a_finding_and_the_rest_is_kept(make_config, write, line, check, says):
    write("boxes/a/img1-slice3.txt", f"1 .5 .5 .2 .2\n0 .5 .5 .1 .1\n{line}\n")

    study, findings = read_study(make_config(RATERS))

    assert [f.check for f in findings] == [check]
    finding = findings[0]
    assert finding.source == "boxes/a/img1-slice3.txt:3"
    assert finding.severity is Severity.REJECT
    assert (finding.case, finding.slice) == ("1", 3)
    assert len(study.boxes) == 2
    assert re.search(says, finding.message)


def test_a_box_may_reach_over_the_edge_as_far_as_tools_round(make_config, write):
    write("boxes/a/img1-slice0.txt", "0 0.5 0.5 1.0001 1\n")

    study, findings = read_study(make_config(RATERS))

    assert study.boxes.loc[0, ["x0", "x1"]].tolist() == [0.0, 200.0]
    assert [(f.check, f.severity) for f in findings] == [("box-clipped", Severity.NOTE)]


def test_boxes_beyond_the_image_are_clipped_where_the_study_says_so(make_config, write):
    write("boxes/a/img1-slice0.txt", "0 0 0.5 0.5 0.5\n0 1.5 0.5 0.5 0.5\n")

    study, findings = read_study(make_config(RATERS + '\noutside = "clip"'))

    assert study.boxes[["x0", "x1"]].to_numpy().tolist() == [[0.0, 50.0]]
    assert sorted(f.check for f in findings) == ["box-clipped", "box-empty"]


def test_empty_files_are_reviewed_between_boxes_and_say_nothing_outside(make_config, write):
    for slice_, text in enumerate(["", "0 .5 .5 .1 .1", "", "\n", "0 .5 .5 .1 .1", ""]):
        write(f"boxes/a/img1-slice{slice_}.txt", text)
    write("boxes/a/img2-slice0.txt", "")

    study, findings = read_study(make_config(RATERS))

    assert [states(study)["1", k, "a"] for k in range(6)] == [
        "opened",
        "boxed",
        "reviewed_empty",
        "reviewed_empty",
        "boxed",
        "opened",
    ]
    assert states(study)["2", 0, "a"] == "opened"
    assert {(f.check, f.case) for f in findings} == {
        ("empty-file-inferred", "1"),
        ("case-only-opened", "2"),
    }


@pytest.mark.parametrize(("rule", "state"), [("nothing", "reviewed_empty"), ("unread", "opened")])
def test_the_study_may_say_what_an_empty_file_means(make_config, write, rule, state):
    write("boxes/a/img1-slice0.txt", "")

    study, findings = read_study(make_config(f'{RATERS}\nempty_file = "{rule}"'))

    assert states(study) == {("1", 0, "a"): state}
    assert findings == []


def test_a_file_with_nothing_sound_in_it_was_not_reviewed_empty(make_config, write):
    for slice_, text in enumerate(["0 .5 .5 .1 .1", "0 .5 .5", "0 .5 .5 .1 .1"]):
        write(f"boxes/a/img1-slice{slice_}.txt", text)

    study, _ = read_study(make_config(RATERS))

    assert states(study)["1", 1, "a"] == "opened"


def test_one_rater_per_label_gives_a_reading_each(make_config, write):
    write("boxes/img1-slice0.txt", "0 .5 .5 .1 .1\n")
    write("boxes/img1-slice1.txt", "1 .5 .5 .1 .1\n")

    study, _ = read_study(make_config(ONE_EACH))

    asked = dict(zip(study.readings["rater"], study.readings["labels"], strict=True))
    assert asked == {"A": "spleen", "B": "liver"}
    assert states(study) == {
        ("1", 0, "A"): "boxed",
        ("1", 0, "B"): "opened",
        ("1", 1, "A"): "opened",
        ("1", 1, "B"): "boxed",
    }


def test_the_same_slice_in_two_files_is_refused(make_config, write):
    write("boxes/a/img1-slice1.txt", "0 .5 .5 .1 .1\n")
    write("boxes/a/img1-slice01.txt", "0 .5 .5 .2 .2\n")

    study, findings = read_study(make_config(RATERS))

    assert [(f.check, f.severity) for f in findings] == [("slice-twice", Severity.REJECT)]
    assert len(study.boxes) == 1


def test_strange_files_are_named(make_config, write):
    write("boxes/a/img1-slice1.txt", "0 .5 .5 .1 .1\n")
    write("boxes/a/classes.txt", "spleen\nliver\n")
    write("boxes/a/img1-slice2.txt", b"\xff\xfe0 .5")

    study, findings = read_study(make_config(RATERS))

    assert [f.check for f in findings] == ["file-unreadable"]
    assert states(study)["1", 2, "a"] == "opened"


@pytest.mark.parametrize(
    ("annotations", "says"),
    [
        (RATERS + '\nrater = "x"', "must go"),
        (ONE_EACH.replace(', liver = "B"', ""), "who drew liver"),
        (RATERS.replace("boxes/", "nowhere/"), "there is no such folder"),
        (RATERS.replace("img", "image"), "no file fits.* holds a/img1-slice0.txt"),
        (RATERS.replace("{case}", "{patient}"), r"holds \{patient\}"),
        (RATERS.replace("size", "# size"), "size of the images is not known"),
    ],
)
def test_what_the_study_file_must_say(make_config, write, annotations, says):
    write("boxes/a/img1-slice0.txt", "0 .5 .5 .1 .1\n")

    with pytest.raises(InputError, match=says):
        read_study(make_config(annotations))


def test_a_decimal_comma_is_told_from_other_words(make_config, write):
    write("boxes/a/img1-slice1.txt", "0 0,5 .5 .1 .1\n0 x .5 .1 .1\n0 .5 .5 .1 .1\n")

    _, findings = read_study(make_config(RATERS))

    said = [one.message for one in findings if one.check == "not-a-number"]
    assert ["Decimals need a point, as in 0.5." in one for one in said] == [True, False]


def test_images_of_other_cases_are_refused_by_name(make_config, write):
    write("boxes/a/img1-slice1.txt", "0 .5 .5 .1 .1\n")
    known = pd.DataFrame({"case": ["x1"], "slice": [1], "height": 100, "width": 200, "path": "x"})

    with pytest.raises(InputError, match="the images are of x1, the annotations of 1"):
        read_study(make_config(RATERS), known)


def test_a_slice_that_has_no_image_is_refused_and_the_rest_kept(make_config, write):
    write("boxes/a/img1-slice0.txt", "0 .5 .5 .1 .1\n")
    write("boxes/a/img1-slice9.txt", "0 .5 .5 .1 .1\n")
    known = pd.DataFrame({"case": ["1"] * 2, "slice": [0, 1], "height": 100, "width": 200})

    study, findings = read_study(make_config(RATERS), known)

    assert study.boxes["slice"].tolist() == [0]
    assert study.images["slice"].tolist() == [0, 1]
    assert [(f.check, f.slice) for f in findings] == [("slice-without-image", 9)]
    with pytest.raises(InputError, match=r"the images are of 2, the annotations of 1\."):
        read_study(make_config(RATERS), known.assign(case="2"))


def test_size_and_images_must_not_contradict_each_other(make_config, write):
    write("boxes/a/img1-slice0.txt", "0 .5 .5 .1 .1\n")
    known = pd.DataFrame({"case": ["1"], "slice": [0], "height": 50, "width": 50, "path": "x"})

    with pytest.raises(InputError, match=r"size is \[100, 200\], but .* 50 rows"):
        read_study(make_config(RATERS), known)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200) | st.text(max_size=80).map(str.encode))
def test_no_file_can_break_the_reader(make_config, write, data):
    write("boxes/a/img1-slice0.txt", data)

    study, _ = read_study(make_config(RATERS))

    assert len(study.readings) == 1


CLASSES = st.sampled_from(["0", "1", "01", "1.0", "+1", "-0", "1e0", "7", "10", "1_0", ""])
NUMBERS = st.sampled_from([".5", "0.25", "2e-1", "+.5", "-.5", "1E-3", "1.", ".", "1e999", "nan"])
SPACES = st.sampled_from([" "] * 4 + ["  ", "\t", "\r", "\x0b", "\xa0"])
ENDS = st.sampled_from(["\n"] * 4 + ["\r\n", "\r", "\n\n", " \n", "\n ", "\x0c\n", ""])
ROWS = st.one_of(
    st.just("0 .5 .5 .25 .25\n"),
    st.builds(
        lambda words, spaces, end: "".join(map(str.__add__, words, spaces)) + end,
        st.tuples(CLASSES, *[NUMBERS] * 4),
        st.tuples(*[SPACES] * 4, st.just("")),
        ENDS,
    ),
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(
        st.builds(str.__add__, st.sampled_from(["", "\ufeff"]), st.lists(ROWS).map("".join)),
        min_size=1,
        max_size=3,
    )
)
@example(texts=["1e8 1 1 1 1"])
def test_lines_parsed_at_once_are_those_parsed_one_by_one(make_config, write, texts):
    annotations = RATERS + '\noutside = "clip"\nempty_file = "nothing"'
    for slice_ in range(3):
        write(f"boxes/a/img1-slice{slice_}.txt", texts[slice_] if slice_ < len(texts) else "")
    write("boxes/b/img1-slice0.txt", "")
    at_once, findings = read_study(make_config(annotations))
    write("boxes/b/img1-slice0.txt", "a word\n")  # which has all files read line by line

    each, more = read_study(make_config(annotations))

    pd.testing.assert_frame_equal(at_once.boxes, each.boxes)
    assert findings == [f for f in more if f.source != "boxes/b/img1-slice0.txt:1"]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(*[st.integers(0, 90)] * 2, *[st.integers(1, 10)] * 2), unique=True, max_size=5
    )
)
def test_boxes_survive_being_written_as_yolo(make_config, write, corners):
    lines = [
        f"0 {(x + w / 2) / 200!r} {(y + h / 2) / 100!r} {w / 200!r} {h / 100!r}"
        for x, y, w, h in corners
    ]
    write("boxes/a/img1-slice0.txt", "\n".join(lines))

    study, findings = read_study(make_config(RATERS))

    expected = sorted([x, y, x + w, y + h] for x, y, w, h in corners)
    found = sorted(study.boxes[["x0", "y0", "x1", "y1"]].round(6).to_numpy().tolist())
    np.testing.assert_allclose(np.reshape(found, (-1, 4)), np.reshape(expected, (-1, 4)), atol=1e-9)
    assert all(f.severity is Severity.NOTE or not corners for f in findings if corners)


def test_the_crowd_study_is_read_whole(data, make_config):
    labels = "\n".join(
        f'{key} = {{ name = "{name}", value = {value} }}'
        for value, (key, name) in enumerate(
            {0: "spleen", 1: "right_kidney", 2: "left_kidney", 5: "liver", 7: "aorta"}.items(), 1
        )
    )
    config = make_config(
        f'format = "yolo"\npath = "{data}/btcv_crowd/prompt/img{{case}}-slice{{slice}}.txt"\n'
        'size = [512, 512]\nrater = "all"\n',
        labels=f'[study]\nname = "s"\n[labels]\n{labels}',
    )

    study, findings = read_study(config)

    assert len(study.boxes) == 1840
    assert len(study.readings) == 1182
    assert len(study.cases) == 23
    assert not [f for f in findings if f.severity is Severity.REJECT]
