"""Files of others are opened with care: whatever lies there, reading ends and says why."""

import gzip
import os
import socket
import tracemalloc

import pytest

from crowdqc.files import Unreadable, open_regular, read_bytes, read_settings, unpacked
from crowdqc.findings import InputError
from crowdqc.links import STATE, refuse_links
from crowdqc.writing import atomic


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / STATE).write_text("{}")
    return folder


def special(kind, folder):
    path = folder / "x"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        socket.socket(socket.AF_UNIX).bind(str(path))
    else:
        path.symlink_to("/dev/zero")
    return path


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "socket"])
def test_only_regular_files_are_read(tmp_path, kind):
    path = special(kind, tmp_path)

    with pytest.raises(Unreadable, match=r"not a regular file|cannot be read"):
        read_bytes(path, 100)
    with pytest.raises(InputError, match=f"{path}: "):
        read_settings(path)


@pytest.mark.parametrize("size", [99, 100, 101, 65535, 65536, 200_000])
def test_a_file_is_read_up_to_its_limit_and_not_beyond(tmp_path, size):
    path = tmp_path / "x"
    path.write_bytes(b"y" * size)

    assert len(read_bytes(path, size)) == size
    with pytest.raises(Unreadable, match=f"more than {size - 1} bytes"):
        read_bytes(path, size - 1)


def test_what_is_packed_unpacks_to_its_limit_and_not_beyond(tmp_path):
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(b"\0" * 300_000))

    with unpacked(path, 300_000) as file:
        assert len(file.read()) == 300_000
    with (
        pytest.raises(Unreadable, match=r"more than 299999 bytes.*\[limits\] bytes"),
        unpacked(path, 299_999) as file,
    ):
        file.read()


@pytest.mark.parametrize(
    "data",
    [b"\x1f\x8b\x08", b"plain", gzip.compress(b"x" * 99)[:-9]],
    ids=["begins", "plain", "cut off"],
)
def test_what_is_packed_and_damaged_is_said(tmp_path, data):
    path = tmp_path / "x.gz"
    path.write_bytes(data)

    with pytest.raises(Unreadable, match="cannot be read"), unpacked(path, 1000) as file:
        file.read()


@pytest.mark.parametrize("where", ["masks", "deep/er"])
def test_nothing_is_written_through_a_link_below_results(tmp_path, out, where):
    precious = tmp_path / "labels"
    precious.mkdir()
    (precious / "1.txt").write_text("real")
    (out / where).parent.mkdir(exist_ok=True)
    (out / where).symlink_to(precious)

    with (
        pytest.raises(InputError, match="is a symbolic link"),
        atomic(out / where / "1.txt") as temporary,
    ):
        temporary.write_text("ours")
    with pytest.raises(InputError, match="is a symbolic link"), atomic(out / where / "a" / "b"):
        pass

    assert {path.name: path.read_text(encoding="utf-8") for path in precious.iterdir()} == {
        "1.txt": "real"
    }


def test_a_link_that_comes_while_a_file_is_written_is_noticed(tmp_path, out):
    (out / "masks").mkdir()
    (tmp_path / "labels").mkdir()

    def swap():
        with atomic(out / "masks" / "1.txt"):
            (out / "masks").rename(out / "moved")
            (out / "masks").symlink_to(tmp_path / "labels")
            (tmp_path / "labels" / "1.txt").write_text("real")

    with pytest.raises(InputError):
        swap()

    assert (tmp_path / "labels" / "1.txt").read_text(encoding="utf-8") == "real"


def test_a_link_in_place_of_a_file_is_replaced_and_its_target_kept(tmp_path, out):
    (tmp_path / "precious").write_text("real")
    (out / "raters.csv").symlink_to(tmp_path / "precious")

    with atomic(out / "raters.csv") as temporary:
        temporary.write_text("ours")

    assert (out / "raters.csv").read_text(encoding="utf-8") == "ours"
    assert (tmp_path / "precious").read_text(encoding="utf-8") == "real"


@pytest.mark.parametrize("name", ["raters.csv", "folder/raters.csv"])
def test_nothing_is_read_through_a_link_below_results(tmp_path, out, name):
    (tmp_path / "raters.csv").write_text("secret")
    (out / name.partition("/")[0]).symlink_to(tmp_path / "raters.csv" if "/" not in name else ".")

    with pytest.raises(Unreadable, match="cannot be read"):
        open_regular(out / name, below=out)
    with pytest.raises(InputError, match="is a symbolic link"):
        refuse_links(out / name)


def test_results_may_lie_behind_a_link(tmp_path, out):
    (tmp_path / "link").symlink_to(out)

    with atomic(tmp_path / "link" / "masks" / "1.txt") as temporary:
        temporary.write_text("ours")

    assert (out / "masks" / "1.txt").read_text(encoding="utf-8") == "ours"


def test_a_file_takes_the_memory_of_its_size_not_of_its_limit(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(b"a" * 300_000)
    tracemalloc.start()

    assert len(read_bytes(path, 2_000_000_000)) == 300_000
    peak = tracemalloc.get_traced_memory()[1]

    tracemalloc.stop()
    assert peak < 3_000_000
    with pytest.raises(Unreadable, match="more than 299999 bytes"):
        read_bytes(path, 299_999)
