"""Where the cases of a study are worked on: in this process, or on the machines of a cluster.

A stage that does its cases one by one hands an engine two things: how a worker gets ready (it
loads a model, once), and the tasks. The answers come in the order of the tasks and are the same
on every engine: what a task writes depends on the task alone, and appears whole or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from crowdqc.config import EngineSettings
from crowdqc.findings import InputError

ENGINE = "CROWDQC_ENGINE"
"""Environment variable that says where to work."""

Task = TypeVar("Task")
Answer = TypeVar("Answer")

Work = Callable[[Task], Answer]
"""Does one task. Of a wrong input it says so by an `InputError`."""


class Engine(Protocol):
    """Something that does tasks."""

    def run(
        self,
        make_work: Callable[[], Work[Task, Answer]],
        tasks: Mapping[str, Task],
        *,
        done: Callable[[str, Answer], None] | None = None,
    ) -> list[Answer]:
        """Do all tasks.

        Parameters
        ----------
        make_work : callable
            Called once for each worker, where it works; gives the function that does a task. It
            is what takes long and serves many tasks, such as loading a model.
        tasks : mapping of str to object
            Name and task. Names are for people. Paths in a task are absolute, on a folder that
            all machines share.
        done : callable, optional
            Called with the name and the answer of each task when it is done, in whatever order.

        Returns
        -------
        list
            The answers, in the order of `tasks`.

        Raises
        ------
        InputError
            If a task raised one, or the engine cannot work.
        """
        ...


class LocalEngine:
    """One task after the other, in this process.

    Examples
    --------
    >>> LocalEngine().run(lambda: len, {"first": "abc", "second": "de"})
    [3, 2]
    """

    def run(
        self,
        make_work: Callable[[], Work[Task, Answer]],
        tasks: Mapping[str, Task],
        *,
        done: Callable[[str, Answer], None] | None = None,
    ) -> list[Answer]:
        """As `Engine.run`; the first error ends it."""
        if not tasks:
            return []
        work = make_work()
        answers = []
        for name, task in tasks.items():
            answers.append(work(task))
            if done is not None:
                done(name, answers[-1])
        return answers


LOCAL = LocalEngine()


def open_engine(settings: EngineSettings, *, gpus: int | None = 0) -> Engine:
    """The engine that the command line or ``CROWDQC_ENGINE`` asks for.

    A study file cannot: an address in it would connect to whatever it names, and run what that
    sends back.

    Parameters
    ----------
    settings : EngineSettings
        The section ``[engine]``: how workers share the machines.
    gpus : int, optional
        GPUs that each worker needs; `None` is one where the cluster has any.

    Returns
    -------
    Engine
        ``local`` (or nothing) is this process, ``ray`` the cluster of ``RAY_ADDRESS`` or else one
        that is started on this machine, anything else the address of a Ray cluster.

    Raises
    ------
    InputError
        If what is asked for is neither.
    """
    name = os.environ.get(ENGINE) or "local"
    if name == "local":
        return LOCAL
    if name != "ray" and ":" not in name:
        raise InputError(
            f"--engine must be local, ray or HOST:PORT of a Ray cluster; got '{name}'."
        )
    from crowdqc.engine.cluster import RayEngine  # noqa: PLC0415 - and Ray, only where it is used

    return RayEngine(
        address=None if name == "ray" else name,
        cpus=settings.cpus,
        gpus=gpus,
        per_gpu=settings.per_gpu,
        workers=settings.workers,
    )


__all__ = ["ENGINE", "LOCAL", "Engine", "LocalEngine", "open_engine"]
