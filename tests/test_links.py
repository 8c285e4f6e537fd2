"""Symbolic links in a folder of results: nothing is read or written through any of them."""

from pathlib import Path

import pytest

from crowdqc.findings import InputError
from crowdqc.links import without_links
from crowdqc.store import Store
from tests.commands import call
from tests.studies import write_study
from train.dataset import DatasetPlan, build_dataset
from train.environment import _opened_log

COMMANDS = ["check", "complete", "agree", "fuse", "gate", "run", "report", "plan"]
WRITTEN = [
    *("images.csv", "boxes.csv", "findings.jsonl", "raters.csv", "consensus.csv", "consensus"),
    *("manifest.json", "report.html", "plan.csv", "todo.csv", ".lock"),
]


@pytest.fixture
def study(tmp_path):
    return write_study(
        tmp_path, raters="ab", slices=6, lines=lambda rater, *_: f"0 .{30 + ord(rater)} .3 .2 .2\n"
    )


@pytest.mark.parametrize("name", [*WRITTEN, "crowdqc.json"])
@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_link_in_place_of_a_result_is_neither_followed_nor_read(study, tmp_path, name, command):
    assert call("run", study).exit_code in {0, 3}
    call("plan", study)
    out, precious = tmp_path / "out", tmp_path / "precious"
    if (out / name).is_dir():
        (out / name).rename(tmp_path / "moved")
        precious.mkdir()
        (precious / "labels").write_text("secret,of,others\n")
    else:
        (out / name).unlink(missing_ok=True)
        precious.write_text("secret,of,others\n")
    (out / name).symlink_to(precious)

    result = call(command, study)

    assert "secret" not in result.output
    kept = precious / "labels" if precious.is_dir() else precious
    assert kept.read_text(encoding="utf-8") == "secret,of,others\n"
    if precious.is_dir():
        assert [path.name for path in precious.iterdir()] == ["labels"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_link_to_a_folder_that_is_not_there_makes_none(study, tmp_path, command):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "consensus").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "out" / "crowdqc.json").symlink_to(tmp_path / "elsewhere.json")

    result = call(command, study)

    assert result.exit_code == 2
    assert not (tmp_path / "elsewhere").exists()
    assert not (tmp_path / "elsewhere.json").exists()


def test_a_log_is_written_into_no_file_that_has_another_name(tmp_path):
    """Neither through a symbolic link nor through a hard one."""
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "out").mkdir()
    for make in (Path.symlink_to, Path.hardlink_to):
        make(tmp_path / "out" / "nnunet.log", tmp_path / "precious")

        with pytest.raises(InputError, match=r"nnunet\.log: cannot be written"):
            _opened_log(tmp_path / "out" / "nnunet.log")

        (tmp_path / "out" / "nnunet.log").unlink()
    assert (tmp_path / "precious").read_text(encoding="utf-8") == "mine"


def test_a_hard_link_in_place_of_the_lock_is_not_written(study, tmp_path):
    (tmp_path / "precious").write_text("mine")
    call("run", study)
    (tmp_path / "out" / ".lock").hardlink_to(tmp_path / "precious")

    result = call("run", study, "--fresh")

    assert result.exit_code == 2
    assert "is a link to another file" in result.stderr
    assert (tmp_path / "precious").read_text(encoding="utf-8") == "mine"


def test_a_dataset_behind_a_link_is_neither_read_nor_replaced(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "dataset.json").write_text('{"crowdqc": {}}')
    store = Store(tmp_path / "out", "tiny")
    store.write_text("a", "")
    raw = tmp_path / "out" / "nnUNet_raw"
    raw.mkdir()
    plan = DatasetPlan(number=501, name="tiny", labels={"liver": 1}, training=[], test={})
    (raw / plan.folder).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(InputError, match="is a symbolic link"):
        build_dataset(raw, plan)

    assert (tmp_path / "elsewhere" / "dataset.json").exists()


def test_a_store_gives_no_path_behind_a_link(tmp_path):
    store = Store(tmp_path / "out", "s")
    store.claim()
    (tmp_path / "out" / "masks").symlink_to("/etc")

    for name in ("masks", "masks/passwd"):
        with pytest.raises(InputError, match="masks: is a symbolic link"):
            store.path(name)


def test_a_library_gets_no_folder_with_links_and_none_that_gets_one(tmp_path):
    store = Store(tmp_path / "out", "s")
    store.write_text("a/b/c", "x")
    folder = store.path("a")

    def swap():
        with without_links(folder):
            (folder / "b" / "d").symlink_to("/etc/passwd")

    with pytest.raises(InputError, match="d: is a symbolic link"):
        swap()
    with pytest.raises(InputError, match="d: is a symbolic link"), without_links(folder):
        pass


def test_init_writes_through_no_link(study, tmp_path):
    study.unlink()
    (tmp_path / "study.toml").symlink_to(tmp_path / "elsewhere")

    result = call("init", tmp_path)

    assert result.exit_code == 2
    assert not (tmp_path / "elsewhere").exists()
