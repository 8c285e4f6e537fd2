import dataclasses
import hashlib
import logging
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdqc.findings import InputError
from samgen.checkpoints import CHECKPOINTS, UNPUBLISHED
from samgen.weights import (
    Checkpoint,
    architecture_of,
    digest_of,
    find_weights,
    list_weights,
    load_state,
    verify_checkpoint,
    weights_folder,
)
from tests.samgen.checkpoints import CONTENT, published


def test_the_hashes_are_those_that_the_file_names_and_others_give():
    # The six digits in Meta's file names start the MD5 sum; Zenodo gives MedSAM's. The SHA-256 sums
    # are of those who pinned the same files: micro_sam, SlicerSegmentWithSAM, MONAI Label.
    kinds = {n: c.digest.partition(":")[0] for n, c in CHECKPOINTS.items()}
    assert kinds == dict.fromkeys(CHECKPOINTS, "sha256") | {"medsam": "md5"}
    every = [d for c in CHECKPOINTS.values() for _, d in c.files.values()]
    assert {len(digest.partition(":")[2]) for digest in every} == {64, 32}
    assert len(set(every)) == len(every)
    assert all(c.url.endswith("/" + c.file) for c in CHECKPOINTS.values())
    assert {n for n, c in CHECKPOINTS.items() if c.hash_from == "publisher"} == {"medsam"}
    assert {n: c.family for n, c in CHECKPOINTS.items()} == {
        "sam_vit_b": "sam",
        "sam_vit_l": "sam",
        "sam_vit_h": "sam",
        "medsam": "medsam",
        "sam2.1_hiera_tiny": "sam2",
        "sam2.1_hiera_small": "sam2",
        "sam2.1_hiera_base_plus": "sam2",
        "sam2.1_hiera_large": "sam2",
        "medsam2": "medsam2",
        "nninteractive": "nninteractive",
    }
    assert CHECKPOINTS["medsam2"].licence == "CC-BY-SA-4.0"
    assert CHECKPOINTS["nninteractive"].licence == "CC-BY-NC-SA-4.0"


def test_what_lies_on_moving_ground_is_pinned_to_a_revision():
    moving = [c.url for c in CHECKPOINTS.values() if "huggingface" in c.url]
    assert len(moving) == 2
    assert all(re.search(r"/resolve/[0-9a-f]{40}/", url) for url in moving)


def test_the_environment_names_the_folder(tmp_path):
    home = weights_folder({})
    assert home.parts[-3:] == (".cache", "crowdqc", "weights")
    assert weights_folder({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "crowdqc" / "weights"
    assert weights_folder({"CROWDQC_WEIGHTS": str(tmp_path), "XDG_CACHE_HOME": "x"}) == tmp_path


def test_a_digest_is_that_of_hashlib(tmp_path):
    (tmp_path / "f").write_bytes(CONTENT)

    assert digest_of(tmp_path / "f") == "sha256:" + hashlib.sha256(CONTENT).hexdigest()
    assert digest_of(tmp_path / "f", "md5") == "md5:" + hashlib.md5(CONTENT).hexdigest()  # noqa: S324


def test_a_wrong_hash_is_refused_with_both_values(tmp_path):
    (tmp_path / "f").write_bytes(b"other")
    wanted = "sha256:" + "0" * 64

    with pytest.raises(InputError) as refused:
        verify_checkpoint(tmp_path / "f", wanted)
    assert wanted in str(refused.value)
    assert hashlib.sha256(b"other").hexdigest() in str(refused.value)


def test_missing_weights_say_what_to_download_and_where_to_put_it(tmp_path):
    with pytest.raises(InputError) as refused:
        find_weights("medsam", tmp_path)

    for part in (
        str(tmp_path / "medsam_vit_b.pth"),
        CHECKPOINTS["medsam"].url,
        CHECKPOINTS["medsam"].digest,
        "CROWDQC_WEIGHTS",
        "crowdqc weights medsam",
    ):
        assert part in str(refused.value)


def test_a_damaged_published_file_is_refused(tmp_path):
    (tmp_path / CHECKPOINTS["sam_vit_b"].file).write_bytes(b"half")

    with pytest.raises(InputError, match="must have the hash sha256:ec2df6"):
        find_weights("sam_vit_b", tmp_path)


def test_named_weights_are_found_where_they_are_right(tmp_path, monkeypatch):
    (tmp_path / "toy.pth").write_bytes(CONTENT)
    monkeypatch.setitem(CHECKPOINTS, "toy", published(algorithm="md5"))

    found = find_weights("toy", tmp_path)

    assert found.path == tmp_path / "toy.pth"
    assert found.digest == CHECKPOINTS["toy"].digest


def test_without_a_published_hash_the_first_file_holds(tmp_path, monkeypatch):
    unknown = dataclasses.replace(published(), digest=UNPUBLISHED)
    monkeypatch.setitem(CHECKPOINTS, "toy", unknown)
    path = tmp_path / unknown.file
    path.write_bytes(CONTENT)

    first = find_weights("toy", tmp_path)
    assert first.digest == digest_of(path)
    assert (tmp_path / f"{path.name}.sha256").read_text().strip() == first.digest
    path.write_bytes(b"other")

    with pytest.raises(InputError, match="as when it was first downloaded"):
        find_weights("toy", tmp_path)
    states = {one.checkpoint.name: one.state for one in list_weights(tmp_path)}
    assert states["toy"] == "damaged"


def test_all_files_of_a_model_must_be_there_and_right(tmp_path, monkeypatch):
    part = hashlib.sha256(b"plans").hexdigest()
    several = dataclasses.replace(
        published(), file="m/fold/toy.pth", parts={"m/plans.json": f"sha256:{part}"}
    )
    monkeypatch.setitem(CHECKPOINTS, "toy", several)
    (tmp_path / "m" / "fold").mkdir(parents=True)
    (tmp_path / "m" / "fold" / "toy.pth").write_bytes(CONTENT)

    def state():
        return {one.checkpoint.name: one.state for one in list_weights(tmp_path)}["toy"]

    assert state() == "missing"
    with pytest.raises(InputError, match=r"m/plans\.json: the weights of 'toy' are not there"):
        find_weights("toy", tmp_path)
    (tmp_path / "m" / "plans.json").write_bytes(b"other")
    assert state() == "damaged"
    with pytest.raises(InputError, match=r"m/plans\.json: must have the hash"):
        find_weights("toy", tmp_path)
    (tmp_path / "m" / "plans.json").write_bytes(b"plans")
    assert state() == "right"
    assert find_weights("toy", tmp_path).path == tmp_path / "m" / "fold" / "toy.pth"


@pytest.mark.parametrize(
    ("prefix", "family"),
    [("sam:", "sam"), ("medsam:", "medsam"), ("sam2:", "sam2"), ("medsam2:", "medsam2")],
)
def test_a_path_may_say_its_family(tmp_path, prefix, family):
    (tmp_path / "own.pth").write_bytes(b"x")

    found = find_weights(f"{prefix}{tmp_path / 'own.pth'}")

    assert (found.family, found.path) == (family, tmp_path / "own.pth")
    assert found.digest == digest_of(tmp_path / "own.pth")


def test_a_bare_path_is_taken_for_sam_with_a_warning(tmp_path, caplog):
    (tmp_path / "own.pth").write_bytes(b"x")

    with caplog.at_level(logging.WARNING):
        assert find_weights(str(tmp_path / "own.pth")).family == "sam"

    assert "medsam:" in caplog.text


def test_a_bare_path_of_a_published_file_is_known_by_its_hash(tmp_path, monkeypatch, caplog):
    (tmp_path / "renamed.pth").write_bytes(CONTENT)
    known = published(algorithm="md5")
    monkeypatch.setitem(CHECKPOINTS, "toy", Checkpoint(**{**known.__dict__, "family": "medsam"}))

    assert find_weights(str(tmp_path / "renamed.pth")).family == "medsam"
    assert caplog.text == ""


def test_an_unknown_model_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(InputError, match=r"sam_vit_b, .*got 'sam_vit_x'"):
        find_weights("sam_vit_x", tmp_path)


def test_the_list_says_what_is_there_and_whether_it_is_right(tmp_path, monkeypatch):
    monkeypatch.setitem(CHECKPOINTS, "toy", published(algorithm="md5"))
    (tmp_path / "toy.pth").write_bytes(CONTENT)
    (tmp_path / CHECKPOINTS["medsam"].file).write_bytes(b"half")

    found = {s.checkpoint.name: s.state for s in list_weights(tmp_path)}

    here = {"medsam": "damaged", "toy": "right"}
    assert found == dict.fromkeys(CHECKPOINTS, "missing") | here


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_a_checkpoint_with_code_is_refused_and_not_run(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    torch.save({"a": Bomb()}, "bomb.pth")

    with pytest.raises(InputError, match="must be a checkpoint that holds tensors only"):
        load_state(tmp_path / "bomb.pth")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrap", [dict, lambda state: {"model": state, "epoch": 3}])
def test_tensors_are_read_from_every_format(tmp_path, zipped, wrap):
    torch = pytest.importorskip("torch")
    state = {"module.a": torch.arange(3.0)}
    torch.save(wrap(state), tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)

    assert load_state(tmp_path / "w.pth")["a"].tolist() == [0, 1, 2]


PASSWORDS = b"root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"


@pytest.mark.parametrize(
    "content",
    [b"", b"not a checkpoint", b"PK\x03\x04 half a zip", PASSWORDS, b"q\x00.", b"\x80\x02a."],
)
def test_what_is_no_checkpoint_is_refused(tmp_path, content):
    pytest.importorskip("torch")
    (tmp_path / "f.pth").write_bytes(content)

    with pytest.raises(InputError, match=r"f\.pth: must "):
        load_state(tmp_path / "f.pth")


def test_a_checkpoint_without_tensors_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"model": {}}, tmp_path / "f.pth")

    with pytest.raises(InputError, match="got none"):
        load_state(tmp_path / "f.pth")


def test_the_architecture_is_read_from_the_shapes():
    torch = pytest.importorskip("torch")
    state = {f"image_encoder.blocks.{i}.norm1.weight": torch.zeros(1) for i in range(24)}
    state["image_encoder.pos_embed"] = torch.zeros(1, 64, 64, 1024)

    assert architecture_of(state) == "vit_l"
    with pytest.raises(InputError, match="width 0 with 0 blocks"):
        architecture_of({})


def test_a_file_with_an_md5_is_held_to_the_sha256_of_when_it_was_first_right(tmp_path):
    path = tmp_path / "medsam.pth"
    path.write_bytes(b"weights")
    digest = digest_of(path, "md5")

    verify_checkpoint(path, digest)
    kept = tmp_path / "medsam.pth.sha256"
    assert kept.read_text(encoding="utf-8") == digest_of(path) + "\n"
    verify_checkpoint(path, digest)
    kept.write_text("sha256:" + "0" * 64)
    with pytest.raises(InputError, match="as when it was first downloaded"):
        verify_checkpoint(path, digest)


def test_weights_are_a_regular_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(InputError, match=r"not a regular file|no such file"):
            digest_of(path)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300).map(lambda some: b"\x80\x02" + some))
def test_no_bytes_end_in_anything_but_a_refusal(tmp_path_factory, content):
    pytest.importorskip("torch")
    path = tmp_path_factory.mktemp("fuzz") / "a.pth"
    path.write_bytes(content)

    with pytest.raises(InputError):
        load_state(path)
