"""Nothing is lost: kills, full disks, read-only folders, two processes, other versions."""

import errno
import os
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import pytest

from crowdqc.findings import InputError
from crowdqc.store import Store
from tests.commands import call
from tests.studies import write_study

ROOT = Path(__file__).parents[1]
HOLD = """
import sys
from pathlib import Path
from crowdqc.store import Store
store = Store(Path(sys.argv[1]), "tiny")
store.claim()
(store.folder / ".part-x").write_text("half")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def study(tmp_path):
    return write_study(tmp_path, raters="ab", slices=40, lines=lambda *_: "0 .3 .3 .2 .2\n")


@pytest.fixture
def holder(tmp_path):
    """Another process that writes in the folder of results."""
    words = [sys.executable, "-c", HOLD, str(tmp_path / "out")]
    with subprocess.Popen(words, stdin=-1, stdout=-1, cwd=ROOT) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_runs_that_are_killed_end_as_if_nobody_had_disturbed_them():
    words = [sys.executable, "benchmarks/crash.py", "--kills", "3", "--small", "--seed", "5"]

    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "survived " in done.stdout.splitlines()[-1]


# Two processes ---------------------------------------------------------------------------------


def test_a_second_process_is_told_who_writes(study, holder):
    result = call("check", study)

    assert result.exit_code == 2
    assert f"process {holder.pid} on " in result.stderr


def test_reading_goes_on_while_another_process_writes(study, holder):
    store = Store(study.parent / "out", "tiny")

    assert store.read_findings("check") == []


def test_a_process_that_was_killed_blocks_nobody_and_leaves_nothing(study, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()

    assert call("check", study).exit_code == 0
    assert not [name for name in contents(study.parent / "out") if name.startswith(".")]


def test_a_kill_before_the_first_result_makes_no_foreign_folder(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / ".lock").touch()
    (out / ".part-state").touch()

    with pytest.raises(InputError, match="not written by crowdqc"):
        Store(tmp_path, "tiny")
    store = Store(out, "tiny")
    store.claim()

    assert sorted(contents(out)) == [".lock", "crowdqc.json"]


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".lock").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(InputError, match="cannot be written"):
        Store(tmp_path / "out", "tiny").claim()
    assert not (tmp_path / "elsewhere").exists()


def test_a_stage_that_was_begun_again_is_not_done(tmp_path):
    store = Store(tmp_path / "out", "tiny")
    store.set_stamp("check", "abc", [])
    store.begin("check")

    assert store.stamp_of("check") is None


# Disks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["check", "fuse", "report"])
def test_a_disk_that_is_full_leaves_the_last_good_result(study, stage):
    assert call(stage, study).exit_code == 0
    before = contents(study.parent / "out")
    (study.parent / "boxes" / "a" / "1-40.txt").write_text("0 .4 .4 .2 .2\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
        result = call(stage, study)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert result.exit_code == 2
    assert "cannot be written: File too large" in result.stderr
    after = contents(study.parent / "out")
    assert before.keys() == after.keys()
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {"crowdqc.json", "images.csv", "readings.csv", "findings.jsonl"}
    assert call(stage, study).exit_code == 0


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
@pytest.mark.parametrize("where", ["mkstemp", "mkdtemp", "replace", "write_text"])
def test_what_cannot_be_written_is_said(study, monkeypatch, number, where):
    def refuse(*args, **words):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path if hasattr(Path, where) else tempfile, where, refuse)
    result = call("fuse", study, "--method", "median")

    assert result.exit_code == 2
    assert f": {os.strerror(number)}." in result.stderr


# Other versions --------------------------------------------------------------------------------


def test_results_of_another_version_are_made_again(study, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("crowdqc.__version__", "0.0.1")
        call("check", study)

    result = call("fuse", study)

    assert result.exit_code == 0
    assert "was written by crowdqc 0.0.1; this is " in result.stderr
    assert "crowdqc check ..." in result.stderr


@pytest.mark.parametrize(
    "text",
    ["[]", "{", "[" * 100_000, '{"stages": []}', '{"stages": {"check": 1}}', "\ud800", "\x00"],
)
def test_a_state_file_that_is_none_is_refused(study, text):
    (study.parent / "out").mkdir()
    (study.parent / "out" / "crowdqc.json").write_bytes(text.encode("utf-8", "surrogatepass"))

    result = call("check", study)

    assert result.exit_code == 2
    assert "crowdqc.json" in result.stderr


# Pictures --------------------------------------------------------------------------------------


def test_a_picture_that_claims_to_be_huge_is_not_unpacked(study):
    header = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header
    png += struct.pack(">I", zlib.crc32(header)) + struct.pack(">I", 0) + b"IDAT"
    (study.parent / "1-0.png").write_bytes(png)
    text = study.read_text(encoding="utf-8").replace("size = [100, 100]", "")
    study.write_text(text + '[images]\npath = "{case}-{slice}.png"\n')

    result = call("check", study)

    assert result.exit_code == 2
    assert "cannot be read as a picture" in result.stderr


def test_a_picture_whose_texts_unpack_to_very_much_is_refused(study):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 9, 8, 0, 0, 0, 0))
    png += chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8), 9))
    (study.parent / "1-0.png").write_bytes(png + chunk(b"IDAT", zlib.compress(bytes(90))))
    text = study.read_text(encoding="utf-8").replace("size = [100, 100]", "")
    study.write_text(text + '[images]\npath = "{case}-{slice}.png"\n')

    result = call("check", study)

    assert result.exit_code == 2
    assert "1-0.png: cannot be read as a picture" in result.stderr


# What is not ours ------------------------------------------------------------------------------


def test_nothing_is_written_outside_the_folder_of_results(study, tmp_path_factory, monkeypatch):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    written = set()

    def watch(event, args):
        if watching and event == "open" and isinstance(args[0], str) and args[2] & WRITES:
            written.add(os.path.abspath(args[0]))  # noqa: PTH100 - a Path would be an event
        by_descriptor = event == "os.rename" and args[2] != -1
        if watching and event in CHANGES and not by_descriptor:
            written.add(os.path.abspath(args[0]))  # noqa: PTH100

    watching = True
    sys.addaudithook(watch)
    try:
        for words in (["run"], ["gate"], ["plan"], ["report", "--format", "csv"]):
            call(words[0], study, *words[1:])
    finally:
        watching = False

    ours = (str(study.parent / "out"), os.devnull, os.environ["XDG_STATE_HOME"])
    others = {Path(path) for path in written if not path.startswith(ours)}
    history = {path for path in others if path.name.endswith("history.csv")}
    assert {path.parent for path in history} <= {study.parent}
    assert not others - history - {study.parent, elsewhere / "key"}  # the key: by a descriptor
    assert not list(elsewhere.iterdir())


WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir"}
