"""Who gets in, what is answered to nonsense, and that nothing but decisions is written."""

import json
import re
import signal
import urllib.request

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from crowdqc.config import load_config
from crowdqc.decisions import decisions_file, read_decisions
from crowdqc.review.open import open_review
from crowdqc.review.server import Guard, addresses, bind, make_app
from crowdqc.stages.pipeline import open_run
from tests.commands import call
from tests.review.conftest import write
from tests.review.kills import kill_while_deciding, serve

HOST = {"host": "127.0.0.1:80"}
OWN = {**HOST, "origin": "http://127.0.0.1:80", "content-type": "application/json"}
HOSTILE = "<img src=x onerror=alert(1)>"


def client_of(study, **words):
    options = {"order": "disagreement", "rater": None, "reviewer": "ann", **words}
    session = open_review(open_run(study, say=lambda _: None), **options)
    guard = Guard(addresses("127.0.0.1", 80))
    client = TestClient(make_app(session, guard), base_url="http://127.0.0.1:80")
    return client, guard, session


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    client, guard, session = client_of(write(tmp_path_factory.mktemp("study")))
    client.get(f"/?token={guard.token}", headers=HOST)
    return client, session


@pytest.fixture
def fresh(tmp_path):
    return client_of(write(tmp_path))


def test_the_token_works_once_and_gives_a_cookie_no_script_reads(fresh):
    client, guard, _ = fresh

    assert client.get("/", headers=HOST).status_code == 403
    assert client.get("/?token=wrong", headers=HOST).status_code == 403
    first = client.get(f"/?token={guard.token}", headers=HOST, follow_redirects=False)
    assert first.status_code == 303
    assert "HttpOnly" in first.headers["set-cookie"]
    assert "SameSite=strict" in first.headers["set-cookie"]
    assert client.get("/", headers=HOST).status_code == 200
    client.cookies.clear()
    again = client.get(f"/?token={guard.token}", headers=HOST)
    assert (again.status_code, "used already" in again.json()["error"]) == (403, True)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "", "0.0.0.0:80"])
def test_another_name_for_this_machine_is_refused(app, host):
    assert app[0].get("/api/summary", headers={"host": host}).status_code == 400


@pytest.mark.parametrize(
    "headers",
    [
        {**OWN, "origin": "http://evil.example"},
        {**OWN, "origin": "null"},
        {**OWN, "origin": "https://127.0.0.1:80"},
        {**OWN, "content-type": "text/plain"},
        HOST,
    ],
)
def test_another_page_cannot_decide(app, headers):
    client, session = app
    entry = json.dumps({"decision": "nothing", "seen": 0})

    assert client.post("/api/item/0", content=entry, headers=headers).status_code == 403
    assert len(read_decisions(session.view.config)) == 0


def test_every_answer_forbids_foreign_scripts_and_frames(app):
    for path in ("/", "/review.js", "/viewer.js", "/api/summary", "/api/item/0", "/image/0/5"):
        answer = app[0].get(path, headers=HOST)
        assert answer.status_code == 200, path
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/../study.toml", "/..%2f..%2fetc/passwd", "/static/../study.toml", "/image/0/..%2f1",
        "/api/item/99", "/api/item/-1", "/image/7/0", "/image/0/99999999999999999999",
        "/image/0/etc/0", "/image/0/across/5000", "/image/0/uncertainty/9/5",
        "/image/0/uncertainty/0/5", "/api/slice/0/-3", "/decisions.csv",
    ],
)  # fmt: skip
def test_no_address_leads_out_of_the_study(app, path):
    assert app[0].get(path, headers=HOST).status_code == 404


@pytest.mark.parametrize(
    ("entry", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'{"decision": "nothing", "seen": 5}', 409),
        (b'{"decision": "nothing"}', 409),
        (b'{"decision": "explode", "seen": 0}', 422),
        (b'{"decision": "draw", "seen": 0}', 422),
        (b'{"decision": "draw", "box": [1, 2, 3], "seen": 0}', 422),
        (b'{"decision": "draw", "box": [1, 2, 9000, 4], "seen": 0}', 422),
        (b'{"decision": "draw", "box": [5, 2, 3, 4], "seen": 0}', 422),
        (b'{"decision": "draw", "box": [1, 2, 3, NaN], "seen": 0}', 422),
        (b'{"decision": "rater", "box": [1, 2, 3, 4], "rater": 77, "seen": 0}', 422),
        (b'{"decision": "relabel", "to": "a\\nb", "box": [1, 2, 3, 4], "seen": 0}', 422),
        (b'{"decision": "grade", "grade": "poor", "seen": 0}', 422),
        (b'{"shown": "' + b"x" * 70_000 + b'"}', 413),
    ],
)
def test_a_bad_decision_is_refused_in_words(app, entry, status):
    client, session = app

    answer = client.post("/api/item/0", content=entry, headers=OWN)

    assert (answer.status_code, bool(answer.json()["error"])) == (status, True)
    assert len(read_decisions(session.view.config)) == 0


plain = st.none() | st.booleans() | st.floats() | st.integers() | st.text()
anything = st.recursive(plain, lambda x: st.lists(x) | st.dictionaries(st.text(), x))
keys = st.sampled_from(
    ["decision", "box", "rater", "to", "grade", "dice", "seconds", "shown", "inputs", "seen"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.dictionaries(keys, anything | st.sampled_from(["draw", "accept", "undo", 0])))
def test_whatever_is_sent_it_is_answered_and_the_file_can_be_read(app, entry):
    client, session = app

    answer = client.post("/api/item/1", content=json.dumps(entry), headers=OWN)

    assert answer.status_code in {200, 400, 409, 413, 422}
    read_decisions(session.view.config)


@given(st.text(max_size=40))
def test_whatever_is_asked_for_it_is_answered(app, path):
    quoted = urllib.request.quote(path)
    assert app[0].get(f"/{quoted}", headers=HOST).status_code in {200, 307, 404}


def test_names_of_strangers_are_data_only(tmp_path):
    study = write(tmp_path, images=False)
    boxes = (tmp_path / "boxes.csv").read_text(encoding="utf-8").replace(",a,", f',"{HOSTILE}",')
    (tmp_path / "boxes.csv").write_text(boxes)
    client, guard, _ = client_of(study)
    client.get(f"/?token={guard.token}", headers=HOST)

    assert HOSTILE in client.get("/api/summary", headers=HOST).json()["raters"]
    assert "innerHTML" not in client.get("/review.js", headers=HOST).text


def test_looking_only_saves_nothing(tmp_path):
    client, guard, session = client_of(write(tmp_path), read_only=True)
    client.get(f"/?token={guard.token}", headers=HOST)

    answer = client.post("/api/item/0", content='{"decision": "skip", "seen": 0}', headers=OWN)

    assert answer.status_code == 403
    assert not decisions_file(session.view.config).exists()


def test_the_folder_of_results_is_free_while_the_page_is_open(fresh):
    _, _, session = fresh

    assert call("fuse", session.view.config.file).exit_code == 0


def test_a_folder_that_is_being_written_is_waited_for(tmp_path):
    study = write(tmp_path)
    run = open_run(study, say=lambda _: None)
    run.store.claim()

    result = call("review", study)

    assert result.exit_code == 2
    assert "is writing here" in result.stderr
    run.store.release()


def test_orders_that_have_nothing_say_so(tmp_path):
    study = write(tmp_path)

    for words, says in (
        (("--queue", "masks"), "there are no masks to grade"),
        (("--queue", "audit"), "run crowdqc audit first"),
        (("--queue", "single"), "nothing is to be decided"),
        (("--rater", "zoe"), "rater 'zoe' drew no box"),
    ):
        result = call("review", study, *words)
        assert (result.exit_code, says in result.stderr) == (2, True), result.stderr


def test_a_port_that_is_taken_is_said(tmp_path):
    with bind("127.0.0.1", 0) as taken:
        result = call("review", write(tmp_path), "--port", taken.getsockname()[1])

    assert (result.exit_code, "cannot be listened on" in result.stderr) == (2, True)


def test_killed_at_any_moment_no_saved_decision_is_lost(tmp_path):
    study = write(tmp_path)

    saved = kill_while_deciding(study, times=5, rng=np.random.default_rng(0))

    table = read_decisions(load_config(study))["shown"].tolist()
    assert len(saved) > 5
    assert [text for text in table if text in set(saved)] == saved
    assert len(table) <= len(saved) + 5


def test_ctrl_c_ends_it_without_a_word_of_python(tmp_path):
    process, _, _ = serve(write(tmp_path))

    process.send_signal(signal.SIGINT)
    _, entry = process.communicate(timeout=30)

    assert not re.search("Traceback", entry)
