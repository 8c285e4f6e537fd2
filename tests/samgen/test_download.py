import dataclasses
import hashlib
import http.server
import sys
import threading
from types import SimpleNamespace

import pytest

from crowdqc.findings import InputError
from samgen.download import _refuse_plain, _Resumer, download_checkpoint
from tests.samgen.checkpoints import CONTENT, published


class Server(http.server.BaseHTTPRequestHandler):
    """Breaks off the first answer in the middle, and can go on from there."""

    content = CONTENT
    breaks_at = None
    ranges = True

    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        start = int(asked[len("bytes=") : -1]) if asked and self.ranges else 0
        if start >= len(self.content):
            self.send_response(416)
            self.end_headers()
            return
        body = self.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.breaks_at] if not start else body)

    def log_message(self, *_):
        pass


@pytest.fixture
def serve():
    servers = []

    def start(**settings):
        handler = type("Handler", (Server,), settings)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        servers.append((server, thread))
        return server, f"http://127.0.0.1:{server.server_address[1]}/"

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_download_is_checked_and_reports_its_progress(tmp_path, serve):
    pytest.importorskip("pooch")
    _, url = serve()
    seen = []

    path = download_checkpoint(
        published(url), tmp_path / "new", progress=lambda have, total: seen.append((have, total))
    )

    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert list(path.parent.iterdir()) == [path]


def test_all_files_of_a_model_are_fetched(tmp_path, serve):
    pytest.importorskip("pooch")
    server, url = serve()
    digest = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
    parts = {"m/plans.json": digest, "m/dataset.json": digest}
    several = dataclasses.replace(
        published(), file="m/fold_0/toy.pth", url=url + "at/m/fold_0/toy.pth", parts=parts
    )

    path = download_checkpoint(several, tmp_path)

    assert path == tmp_path / "m" / "fold_0" / "toy.pth"
    found = sorted(str(one.relative_to(tmp_path)) for one in tmp_path.rglob("*") if one.is_file())
    assert found == ["m/dataset.json", "m/fold_0/toy.pth", "m/plans.json"]
    assert len(server.asked) == 3


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_download_goes_on_where_it_stopped(tmp_path, serve, ranges):
    pytest.importorskip("pooch")
    server, url = serve(breaks_at=5_000_000, ranges=ranges)

    with pytest.raises(InputError, match="to go on where it stopped"):
        download_checkpoint(published(url), tmp_path)
    kept = (tmp_path / "toy.pth.part").stat().st_size
    server.RequestHandlerClass.breaks_at = None
    path = download_checkpoint(published(url), tmp_path)

    assert kept > 0
    assert server.asked == [None, f"bytes={kept}-"]
    assert path.read_bytes() == CONTENT


def test_a_download_that_was_complete_but_not_renamed_is_used(tmp_path, serve):
    pytest.importorskip("pooch")
    _, url = serve()
    (tmp_path / "toy.pth.part").write_bytes(CONTENT)

    assert download_checkpoint(published(url), tmp_path).read_bytes() == CONTENT


def test_a_download_with_another_hash_is_refused_with_both_values(tmp_path, serve):
    pytest.importorskip("pooch")
    _, url = serve(content=b"something else")

    with pytest.raises(InputError) as refused:
        download_checkpoint(published(url), tmp_path)

    assert hashlib.sha256(CONTENT).hexdigest() in str(refused.value)
    assert hashlib.sha256(b"something else").hexdigest() in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_without_a_network_the_message_says_what_to_fetch(tmp_path):
    pytest.importorskip("pooch")
    nobody = published("http://127.0.0.1:9/")

    with pytest.raises(InputError, match=r"cannot be downloaded .* on another machine") as refused:
        download_checkpoint(nobody, tmp_path)
    assert nobody.digest in str(refused.value)


def test_a_file_that_is_there_is_not_fetched_again_but_checked(tmp_path):
    (tmp_path / "toy.pth").write_bytes(CONTENT)
    assert download_checkpoint(published(), tmp_path) == tmp_path / "toy.pth"

    (tmp_path / "toy.pth").write_bytes(b"")
    with pytest.raises(InputError, match="must have the hash"):
        download_checkpoint(published(), tmp_path)


def test_downloading_without_pooch_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)

    with pytest.raises(InputError, match=r"crowdqc\[sam\]"):
        download_checkpoint(published(), tmp_path)


@pytest.mark.parametrize(
    ("url", "location", "followed"),
    [
        ("https://a.example/x", "http://a.example/x", False),
        ("https://a.example/x", "ftp://a.example/x", False),
        ("https://a.example/x", "//b.example/x", True),
        ("https://a.example/x", "/y", True),
        ("https://a.example/x", "https://b.example/y", True),
    ],
)
def test_no_redirect_leaves_encryption(url, location, followed):
    requests = pytest.importorskip("requests")
    response = requests.Response()
    response.url, response.status_code, response.headers["Location"] = url, 302, location

    if followed:
        _refuse_plain(response)
        return
    with pytest.raises(OSError, match="not encrypted"):
        _refuse_plain(response)


def test_a_link_in_place_of_an_unfinished_download_is_not_followed(tmp_path):
    response = SimpleNamespace(
        status_code=200, headers={}, iter_content=lambda _: [b"weights"], raise_for_status=None
    )
    (tmp_path / "a.part").symlink_to(tmp_path / "precious")

    with pytest.raises(OSError, match="symbolic link"):
        _Resumer(tmp_path / "a.part", lambda *_: None)._append(response, 0)
    assert not (tmp_path / "precious").exists()
