import hashlib
import json

import pytest

from crowdqc.trust import seal_of
from samgen.records import read_record, signature_of, write_record

ROWS = [{"case": "1", "slice": 3, "entropy": 0.1 + 0.2, "z_dice": float("nan"), "ok": True}]


@pytest.fixture
def record(tmp_path):
    (tmp_path / "1.nii.gz").write_bytes(b"labels")
    write_record(tmp_path / "1.json", "abc", files=["1.nii.gz"], rows=ROWS)
    return tmp_path / "1.json"


def test_rows_come_back_exactly_and_nan_as_nothing(record):
    assert read_record(record, "abc") == [{**ROWS[0], "z_dice": None}]


def test_a_record_is_strict_json(record):
    def refuse(word):
        raise AssertionError(word)

    json.loads(record.read_text(encoding="utf-8"), parse_constant=refuse)


def test_a_record_of_other_input_does_not_count(record):
    assert read_record(record, "abd") is None


@pytest.mark.parametrize("damage", ["changed", "gone", "cut", "list", "absent", "unsigned"])
def test_a_case_that_is_not_whole_is_done_again(record, damage):
    match damage:
        case "changed":
            record.with_name("1.nii.gz").write_bytes(b"other")
        case "gone":
            record.with_name("1.nii.gz").unlink()
        case "cut":
            record.write_text(record.read_text(encoding="utf-8")[:50])
        case "list":
            record.write_text("[]")
        case "absent":
            record.unlink()
        case "unsigned":
            seal_of(record).unlink()

    assert read_record(record, "abc") is None


def test_every_input_counts_and_their_order_does_not():
    assert signature_of(a=1, b=[2]) == signature_of(b=[2], a=1)
    assert signature_of(a=1, b=[2]) != signature_of(a=1, b=[3])


def test_masks_that_another_user_drew_are_drawn_again(record, monkeypatch):
    monkeypatch.setenv("CROWDQC_KEY", "the key of somebody else")

    assert read_record(record, "abc") is None


def test_a_mask_edited_together_with_its_record_does_not_count(record):
    record.with_name("1.nii.gz").write_bytes(b"evil")
    text = record.read_text(encoding="utf-8")
    found = json.loads(text)["files"]["1.nii.gz"]
    record.write_text(text.replace(found, hashlib.sha256(b"evil").hexdigest()))

    assert read_record(record, "abc") is None


def test_two_users_write_the_same_record(record, monkeypatch):
    before = record.read_bytes()
    monkeypatch.setenv("CROWDQC_KEY", "the key of somebody else")
    write_record(record, "abc", files=["1.nii.gz"], rows=ROWS)

    assert record.read_bytes() == before
