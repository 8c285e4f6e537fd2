"""Tasks on the machines of a Ray cluster.

Each worker is a Ray actor with cores (and a GPU) of its own. It gets its next task when it has
done the one before: tasks take seconds (a case) to days (a fold), and none shall wait for a slow
machine while another has nothing to do. Where a worker or its machine is lost, its task goes to
another and a new worker is asked for; machines that join while the work goes on are used.

What travels between machines is pickled by Ray. It is what this program made, never a file of
somebody's; but whoever reaches the ports of a Ray cluster can run code on it, so that they belong
into a network of your own.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import logging
import os
import re
import secrets
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import crowdqc
from crowdqc.engine import Answer, Task, Work
from crowdqc.environment import set_variables
from crowdqc.findings import InputError
from crowdqc.trust import KEY, key_text

LOSSES = 3
"""So many workers may be lost over one task, or before one gets ready, until we give up."""
LOOK_S = 5.0
"""How often, in seconds, we look whether machines have joined."""
LOOPBACK = "127.0.0.1"
ANSWER_S = 10.0
"""How long, in seconds, a cluster may take to answer."""
_UNREPORTED = {"RAY_USAGE_STATS_ENABLED": "0"}
"""A cluster that Ray starts now reports its use to nobody."""


@dataclass(frozen=True, kw_only=True)
class RayEngine:
    """A Ray cluster as a `crowdqc.engine.Engine`.

    Parameters
    ----------
    address : str, optional
        ``host:port`` of its head, or ``ray://host:port``; none given, that of ``RAY_ADDRESS``,
        else one is started on this machine, for this command alone.
    cpus : int
        Cores of each worker.
    gpus : int, optional
        GPUs of each worker; `None` is one where the cluster has any.
    per_gpu : int
        Workers that share a GPU, where each needs one.
    workers : int, optional
        Largest number of workers; none given, as many as there is room for.
    """

    address: str | None = None
    cpus: int = 1
    gpus: int | None = 0
    per_gpu: int = 1
    workers: int | None = None

    def run(
        self,
        make_work: Callable[[], Work[Task, Answer]],
        tasks: Mapping[str, Task],
        *,
        done: Callable[[str, Answer], None] | None = None,
    ) -> list[Answer]:
        """As `crowdqc.engine.Engine.run`.

        Raises
        ------
        InputError
            Also if Ray is not installed, does not answer, has no room for a worker, or if one
            task loses worker after worker.
        """
        if not tasks:
            return []
        with _connected(self.address) as ray:
            crew = _Crew(ray, self, make_work)
            try:
                answers: list[Answer] = crew.work_off(tasks, done)
            finally:
                crew.dismiss()
        return answers


class Worker:
    """What runs on a machine of the cluster."""

    def open(self, make_work: Callable[[], Work[Any, Any]], version: str, key: str) -> _Reply:
        """Get ready; only where this is the crowdqc that the tasks come from.

        What is written here is signed by the `key` of whoever sent the tasks.
        """
        if version != crowdqc.__version__:
            return None, (
                f"{socket.gethostname()}: has crowdqc {crowdqc.__version__}, but the tasks come "
                f"from crowdqc {version}. Install the same on all machines."
            )
        os.environ[KEY] = key
        self.work, error = _attempt(make_work)
        return None, error

    def do(self, task: Any) -> _Reply:
        """Do a task."""
        return _attempt(lambda: self.work(task))


_Reply = tuple[Any, str | None]
"""An answer, or what was wrong with the input."""


def _attempt(call: Callable[[], Any]) -> _Reply:
    try:
        return call(), None
    except InputError as error:
        return None, str(error)


class _Crew:
    """The workers of one run, and who does what."""

    def __init__(self, ray: Any, engine: RayEngine, make_work: Callable[[], Any]) -> None:
        self.ray = ray
        self.engine = engine
        self.make_work = make_work
        self.gpus = self._gpus()
        self.busy: dict[Any, tuple[Any, str | None]] = {}  # promise: worker, its task or None
        self.free: list[Any] = []
        self.losses: Counter[str | None] = Counter()

    def work_off(self, tasks: Mapping[str, Any], done: Callable[[str, Any], None] | None) -> Any:
        """Answers to all tasks."""
        waiting, answers = deque(tasks), dict[str, Any]()
        while len(answers) < len(tasks):
            self._staff(len(tasks) - len(answers))
            while self.free and waiting:
                worker, name = self.free.pop(), waiting.popleft()
                self.busy[worker.do.remote(tasks[name])] = worker, name
            for name, answer in self._collect(waiting):
                answers[name] = answer
                if done is not None:
                    done(name, answer)
        return [answers[name] for name in tasks]

    def dismiss(self) -> None:
        """Let all workers go, whatever they do."""
        for worker in [*(worker for worker, _ in self.busy.values()), *self.free]:
            self.ray.kill(worker)

    def _gpus(self) -> float:
        """GPUs, or the part of one, that a worker gets."""
        gpus = self.engine.gpus
        if gpus is None:
            gpus = int(any(machine.get("GPU", 0) >= 1 for machine in self._machines()))
        return gpus / self.engine.per_gpu if gpus == 1 else gpus

    def _machines(self) -> list[dict[str, float]]:
        """What each machine has, CPU and GPU."""
        return [node["Resources"] for node in self.ray.nodes() if node["Alive"]]

    def _room(self) -> int:
        """Number of workers for which the machines have room."""
        room = 0
        for machine in self._machines():
            by_cpu = int(machine.get("CPU", 0) // self.engine.cpus)
            by_gpu = int(machine.get("GPU", 0) / self.gpus + 1e-6) if self.gpus else by_cpu
            room += min(by_cpu, by_gpu)
        return room

    def _staff(self, left: int) -> None:
        """Ask for as many workers as there is room and work for."""
        room, there = self._room(), len(self.busy) + len(self.free)
        if not room and not there:
            raise InputError(
                f"{_called(self.engine.address)}: no machine of it has {self.engine.cpus} cores "
                f"and {self.gpus:g} GPUs for a worker; see 'ray status', and [engine] cpus."
            )
        remote_worker = self.ray.remote(Worker).options(
            num_cpus=self.engine.cpus,
            num_gpus=self.gpus,
            max_restarts=0,
            scheduling_strategy="SPREAD",
        )
        for _ in range(min(left, room, self.engine.workers or room) - there):
            worker = remote_worker.remote()
            self.busy[worker.open.remote(self.make_work, crowdqc.__version__, key_text())] = (
                worker,
                None,
            )

    def _collect(self, waiting: deque[str]) -> Iterator[tuple[str, Any]]:
        """Tasks that are done, and their answers; those of a lost worker wait again."""
        promises, _ = self.ray.wait(list(self.busy), num_returns=1, timeout=LOOK_S)
        for promise in promises:
            worker, name = self.busy.pop(promise)
            try:
                answer = self._answer(promise)
            except self.ray.exceptions.RayError as error:
                self.ray.kill(worker)
                self._count_loss(name, error)
                waiting.extendleft([] if name is None else [name])
                continue
            self.free.append(worker)
            self.losses[name] = 0
            if name is not None:
                yield name, answer

    def _answer(self, promise: Any) -> Any:
        """The answer; a fault of the input or of the program is raised as it was there."""
        try:
            answer, wrong = self.ray.get(promise)
        except self.ray.exceptions.RayTaskError as error:
            raise error.cause from error
        if wrong is not None:
            raise InputError(wrong)
        return answer

    def _count_loss(self, name: str | None, error: Exception) -> None:
        self.losses[name] += 1
        if self.losses[name] >= LOSSES:
            reason = str(error).strip().splitlines()[-1].strip()
            raise InputError(
                f"{_called(self.engine.address)}: {LOSSES} workers were lost "
                f"{'before they began' if name is None else f'while they did {name}'}: "
                f"{reason} Is crowdqc installed there, and is there memory enough?"
            )


@contextlib.contextmanager
def _connected(address: str | None) -> Iterator[Any]:
    """Ray, connected; a program that is connected already stays so.

    Raises
    ------
    InputError
        If Ray is not installed, or the cluster does not answer.
    """
    if importlib.util.find_spec("ray") is None:
        raise InputError(
            "--engine ray needs Ray, which is not installed: pip install 'crowdqc[cluster]'."
        )
    address = address or os.environ.get("RAY_ADDRESS")
    variables = _UNREPORTED if address else {**_UNREPORTED, **_private_token()}
    with set_variables(variables), _stdout_off():
        import ray  # noqa: PLC0415 - heavy, and it reads its variables when it is imported

        if ray.is_initialized():
            yield ray
            return
        _refuse_silence(address)
        try:
            with contextlib.nullcontext() if address else _on_loopback():
                ray.init(
                    address or "local",
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.CRITICAL,
                    **({} if address else {"_node_ip_address": LOOPBACK}),
                )
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            raise InputError(f"{_called(address)}: {error}. {_REMEDY}") from error
        try:
            if not address:
                _refuse_open(ray)
            yield ray
        finally:
            ray.shutdown()


@functools.cache
def _private_token() -> dict[str, str]:
    """Variables by which nobody else gets into a cluster that is started now."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


@contextlib.contextmanager
def _on_loopback() -> Iterator[None]:
    """Ray replaces the loopback address, which is all that we want, by that of the network."""
    from ray._private import services  # noqa: PLC0415

    resolve = services.resolve_ip_for_localhost
    services.resolve_ip_for_localhost = lambda host: host
    try:
        yield
    finally:
        services.resolve_ip_for_localhost = resolve


def _refuse_open(ray: Any) -> None:
    where = ray.get_runtime_context().gcs_address
    if not where.startswith(f"{LOOPBACK}:"):
        raise InputError(
            f"Ray {ray.__version__} listens on {where}, where others may reach it, though it was "
            "asked for this machine alone. Start a cluster yourself, and give its address."
        )


@contextlib.contextmanager
def _stdout_off() -> Iterator[None]:
    """Ray reports lost machines on stdout, at length; but stdout is for results."""
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


_REMEDY = (
    "Start one by 'ray start --head', and give its address as --engine or RAY_ADDRESS; one that "
    "asks for a token wants it here too, with RAY_AUTH_MODE=token."
)


def _refuse_silence(address: str | None) -> None:
    """Ray would wait for many minutes."""
    host, separator, port = (address or "").rpartition("//")[2].rpartition(":")
    if not separator:
        return
    if not re.fullmatch(r"\d{1,5}", port) or int(port) >= 2**16:
        raise InputError(
            f"{_called(address)}: '{port}' is no port, which is a number up to 65535. An address "
            "is HOST:PORT or ray://HOST:PORT."
        )
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_S).close()
    except (OSError, ValueError) as error:
        raise InputError(f"{_called(address)}: does not answer ({error}). {_REMEDY}") from error


def _called(address: str | None) -> str:
    return f"The Ray cluster at {address}" if address else "The Ray cluster of this machine"
