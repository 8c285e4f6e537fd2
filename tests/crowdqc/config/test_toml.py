import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdqc.config import Section, expand, read_toml, toml_line, validate
from crowdqc.findings import InputError


class Size(Section):
    rows: int
    columns: int


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"none\.toml: cannot be read: No such file"):
        read_toml(tmp_path / "none.toml")


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")

    with pytest.raises(InputError, match=r"x\.toml: is not UTF-8 text"):
        read_toml(tmp_path / "x.toml")


def test_a_file_may_begin_with_a_byte_order_mark_and_have_lines_of_windows(tmp_path):
    (tmp_path / "x.toml").write_bytes("\ufeff[a]\r\nb = 1\r\n".encode())

    assert read_toml(tmp_path / "x.toml") == {"a": {"b": 1}}


@pytest.mark.parametrize("text", ["[study", "a = " + "9" * 5000, "a = " + "[" * 2000])
def test_a_file_that_is_no_toml(tmp_path, text):
    (tmp_path / "x.toml").write_text(text, encoding="utf-8")

    with pytest.raises(InputError, match=r"x\.toml: is not valid TOML"):
        read_toml(tmp_path / "x.toml")


def test_data_are_held_against_a_model(tmp_path):
    assert validate(Size, {"rows": 4, "columns": 5}, tmp_path) == Size(rows=4, columns=5)


def test_each_fault_has_a_line_that_names_the_file_and_the_key(tmp_path):
    with pytest.raises(InputError) as caught:
        validate(Size, {"rows": "x" * 300, "colums": 5}, tmp_path / "size.toml")

    wrong_type, missing, unknown = str(caught.value).splitlines()
    file = tmp_path / "size.toml"
    assert wrong_type.startswith(f"{file}: 'rows': input should be a valid integer; got 'xxx")
    assert wrong_type.endswith("xx....")  # not the whole of a long value
    assert len(wrong_type) < len(str(file)) + 300
    assert missing == f"{file}: 'columns' is missing."
    assert unknown == f"{file}: 'colums' is not a known key; did you mean 'columns'?"


def test_all_known_keys_are_told_where_none_is_near(tmp_path):
    with pytest.raises(InputError, match=r"'z' is not a known key; known are columns, rows\.$"):
        validate(Size, {"rows": 4, "columns": 5, "z": 1}, tmp_path)


def test_variables_are_filled_in(monkeypatch):
    monkeypatch.setenv("CROWDQC_TEST", "here")
    monkeypatch.delenv("CROWDQC_NONE", raising=False)

    assert expand("${CROWDQC_TEST}/a") == "here/a"
    assert expand("${CROWDQC_NONE:-../there}/a") == "../there/a"
    with pytest.raises(InputError, match="CROWDQC_NONE"):
        expand("${CROWDQC_NONE}/a")


texts = st.text(st.characters(exclude_categories=["Cs"]))
plain = texts | st.booleans() | st.integers(-99, 99) | st.floats(0, 9)


@given(texts, st.recursive(plain, st.lists))
def test_what_is_written_as_toml_is_read_the_same(key, value):
    assert tomllib.loads(toml_line(key, {"a b": value})) == {key: {"a b": value}}
