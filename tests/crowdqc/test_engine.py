import importlib.util
import math
import os
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

import crowdqc
from crowdqc.config import EngineSettings as Settings
from crowdqc.engine import LOCAL, LocalEngine, cluster, open_engine
from crowdqc.engine.cluster import RayEngine, Worker
from crowdqc.findings import InputError
from tests.ray_nodes import say_and_wait, travel


def counted(folder):
    """A worker that leaves a file for each one that is made, and takes square roots."""
    (folder / f"made-{os.getpid()}-{time.monotonic_ns()}").touch()
    return root


def root(number):
    if number < 0:
        raise InputError(f"'number' must not be negative; got {number}.")
    return math.sqrt(number)


def broken(_):
    raise KeyError("a bug")


ROOT = Path(__file__).parents[2]
TASKS = {f"task {number}": number for number in range(7)}


@pytest.fixture(params=["local", "ray"])
def engine(request):
    if request.param == "local":
        return LOCAL
    nodes = request.getfixturevalue("nodes")
    travel(__name__)
    return RayEngine(address=nodes.address)


def test_answers_come_in_the_order_of_the_tasks(engine, tmp_path):
    told = []

    answers = engine.run(
        partial(counted, tmp_path), TASKS, done=lambda name, answer: told.append((name, answer))
    )

    assert answers == [math.sqrt(number) for number in range(7)]
    assert sorted(told) == sorted(zip(TASKS, answers, strict=True))
    made = len(list(tmp_path.glob("made-*")))
    assert made == 1 if engine is LOCAL else 1 <= made <= 2


def test_without_tasks_no_worker_is_made(engine, tmp_path):
    assert engine.run(partial(counted, tmp_path), {}) == []
    assert list(tmp_path.iterdir()) == []


def test_a_fault_of_the_input_comes_back_as_it_is(engine, tmp_path):
    with pytest.raises(InputError, match=r"^'number' must not be negative; got -1\.$"):
        engine.run(partial(counted, tmp_path), {"right": 4, "wrong": -1})


def refuse():
    raise InputError("There are no weights.")


def test_a_worker_that_cannot_get_ready_says_why(engine):
    with pytest.raises(InputError, match=r"^There are no weights\.$"):
        engine.run(refuse, TASKS)


def work_broken():
    return broken


def test_a_bug_stays_a_bug(engine):
    with pytest.raises(KeyError, match="a bug"):
        engine.run(work_broken, TASKS)


def work_waiting(folder):
    return partial(wait, folder)


def wait(folder, number):
    say_and_wait(folder, f"{number}-{os.getpid()}")
    return number**2


def work_poison():
    return poison


def poison(number):
    if number == 3:
        os._exit(1)
    return number


def test_a_task_that_kills_its_workers_is_named(nodes, monkeypatch):
    travel(__name__)
    monkeypatch.setattr(cluster, "LOSSES", 2)
    engine = RayEngine(address=nodes.address, workers=1)

    with pytest.raises(InputError, match=r"2 workers were lost while they did task 3: .*memory"):
        engine.run(work_poison, TASKS)


def test_no_task_waits_for_a_worker_that_has_another(nodes, tmp_path, monkeypatch):
    travel(__name__)
    (tmp_path / "go").touch()
    loads, collect = [], cluster._Crew._collect

    def spy(crew, waiting):
        workers = [id(worker) for worker, _ in crew.busy.values()]
        loads.append(max(workers.count(worker) for worker in workers))
        return collect(crew, waiting)

    monkeypatch.setattr(cluster._Crew, "_collect", spy)
    RayEngine(address=nodes.address).run(partial(work_waiting, tmp_path), TASKS)

    assert set(loads) == {1}


@pytest.mark.parametrize("needs", [{"cpus": 64}, {"gpus": 1}])
def test_a_cluster_without_room_says_so(nodes, needs):
    with pytest.raises(InputError, match=r"no machine of it has \d+ cores and \d GPUs"):
        RayEngine(address=nodes.address, **needs).run(work_poison, TASKS)


@pytest.mark.parametrize(
    ("needs", "room"),
    [
        ({"cpus": 2}, 8 + 2),
        ({"cpus": 8}, 2),
        ({"gpus": 1}, 4),
        ({"gpus": None}, 4),
        ({"gpus": 2, "per_gpu": 3}, 2),
        ({"gpus": 1, "per_gpu": 3}, 12),
        ({"gpus": 1, "per_gpu": 10}, 16),
        ({"gpus": 1, "per_gpu": 3, "cpus": 8}, 2),
    ],
)
def test_a_machine_takes_as_many_workers_as_it_has_room_for(needs, room):
    machines = [{"CPU": 16.0, "GPU": 4.0}, {"CPU": 4.0}, {"GPU": 1.0}, {"CPU": 99.0, "GPU": 9.0}]
    nodes = [{"Resources": one, "Alive": k < 3} for k, one in enumerate(machines)]
    ray = SimpleNamespace(nodes=lambda: nodes)

    assert cluster._Crew(ray, RayEngine(**needs), work_poison)._room() == room


class PretendedRay:
    """As much of Ray as the engine asks for, in this process: nodes join while it works."""

    exceptions = SimpleNamespace(RayError=OSError, RayTaskError=OSError)

    def __init__(self):
        self.made, self.cores = 0, 1

    def nodes(self):
        return [{"Alive": True, "Resources": {"CPU": self.cores}}]

    def remote(self, _):
        return self

    def options(self, **_):
        return SimpleNamespace(remote=self.build)

    def build(self):
        self.made += 1
        worker = Worker()
        methods = {name: partial(partial, getattr(worker, name)) for name in ("open", "do")}
        return SimpleNamespace(**{name: SimpleNamespace(remote=m) for name, m in methods.items()})

    def wait(self, promises, **_):
        return promises[:1], promises[1:]

    def get(self, promise):
        self.cores = 3
        return promise()


def test_machines_that_join_are_used():
    ray = PretendedRay()

    answers = cluster._Crew(ray, RayEngine(), lambda: root).work_off(TASKS, None)

    assert answers == [math.sqrt(number) for number in range(7)]
    assert ray.made == 3


def test_a_cluster_that_does_not_answer_says_so(monkeypatch):
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")

    with pytest.raises(InputError, match=rf"cluster at 127.0.0.1:{port}: .* 'ray start --head'"):
        RayEngine().run(work_poison, TASKS)
    for port in ("x", "65536", "-1", ""):
        with pytest.raises(InputError, match=rf"cluster at ray://127.0.0.1:{port}: '{port}' is no"):
            RayEngine(address=f"ray://127.0.0.1:{port}").run(work_poison, TASKS)


def test_without_ray_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", {}.get)

    with pytest.raises(InputError, match=r"pip install 'crowdqc\[cluster\]'"):
        RayEngine().run(work_poison, TASKS)


def test_another_version_of_crowdqc_is_refused():
    _, wrong = Worker().open(work_poison, "0.0.1", "00" * 32)

    assert f"has crowdqc {crowdqc.__version__}, but the tasks come from crowdqc 0.0.1" in wrong


def test_the_environment_chooses_and_the_study_file_says_how_many(monkeypatch):
    settings = Settings(cpus=4, workers=3, per_gpu=2)

    assert isinstance(open_engine(settings), LocalEngine)
    monkeypatch.setenv("CROWDQC_ENGINE", "ray")
    assert open_engine(settings) == RayEngine(cpus=4, workers=3, per_gpu=2)
    monkeypatch.setenv("CROWDQC_ENGINE", "there")
    with pytest.raises(InputError, match="must be local, ray or HOST:PORT"):
        open_engine(settings)
    monkeypatch.setenv("CROWDQC_ENGINE", "there:6379")
    assert open_engine(settings, gpus=None) == RayEngine(
        address="there:6379", cpus=4, gpus=None, workers=3, per_gpu=2
    )


ALONE = """
import os, secrets, sys
from functools import partial
from pathlib import Path
from crowdqc.engine.cluster import _connected

print = partial(print, file=sys.__stdout__)
MARK = os.environ["CROWDQC_TEST_MARK"] = secrets.token_hex(8)

def sockets():
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if MARK.encode() in (place / "environ").read_bytes():
                yield from [os.readlink(fd) for fd in (place / "fd").iterdir()]
        except OSError:
            continue

with _connected(None) as ray:
    print(len(os.environ["RAY_AUTH_TOKEN"]), os.environ["RAY_AUTH_MODE"])
    ours = set(sockets())
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text(encoding="utf-8").splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in ours:
                print(words[1].rpartition(":")[0])
"""


def test_a_head_that_we_start_listens_to_this_machine_alone_and_asks_for_a_token(monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    done = subprocess.run(
        [sys.executable, "-c", ALONE], capture_output=True, text=True, check=False, cwd=ROOT
    )

    assert done.returncode == 0, done.stderr
    asks, *addresses = done.stdout.splitlines()
    assert asks == "64 token"
    assert len(addresses) > 2
    assert set(addresses) <= {"0100007F", "0000000000000000FFFF00000100007F"}  # 127.0.0.1
