"""Where the cases of a study are worked on: in this process, or on the machines of a cluster.

A stage that does its cases one by one hands an engine two things: how a worker gets ready (it
loads a model, once), and the tasks. The answers come in the order of the tasks and are the same
on every engine: what a task writes depends on the task alone, and appears whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from crowdqc.config import Engine as Settings
from crowdqc.config import expand

Task = TypeVar("Task")
Answer = TypeVar("Answer")

Work = Callable[[Task], Answer]
"""Does one task. Of a wrong input it says so by an `InputError`."""


class Engine(Protocol):
    """Something that does tasks."""

    def run(
        self,
        hire: Callable[[], Work[Task, Answer]],
        tasks: Mapping[str, Task],
        *,
        done: Callable[[str, Answer], None] | None = None,
    ) -> list[Answer]:
        """Do all tasks.

        Parameters
        ----------
        hire : callable
            Called once for each worker, where it works; gives the function that does a task. It
            is what takes long and serves many tasks, such as loading a model.
        tasks : mapping of str to object
            Name and task. Names are for people. Paths in a task are absolute, on a folder that
            all machines share.
        done : callable, optional
            Told the name and the answer of each task when it is done, in whatever order.

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
        hire: Callable[[], Work[Task, Answer]],
        tasks: Mapping[str, Task],
        *,
        done: Callable[[str, Answer], None] | None = None,
    ) -> list[Answer]:
        """As `Engine.run`; the first error ends it."""
        if not tasks:
            return []
        work = hire()
        answers = []
        for name, task in tasks.items():
            answers.append(work(task))
            if done is not None:
                done(name, answers[-1])
        return answers


LOCAL = LocalEngine()


def open_engine(settings: Settings, *, gpus: int | None = 0) -> Engine:
    """The engine that a study file asks for.

    Parameters
    ----------
    settings : Settings
        The section ``[engine]``.
    gpus : int, optional
        GPUs that each worker needs; `None` is one where the cluster has any.
    """
    if settings.name == "local":
        return LOCAL
    from crowdqc.engine.cluster import RayEngine  # noqa: PLC0415 - and Ray, only where it is used

    address = None if settings.address is None else expand(settings.address)
    return RayEngine(
        address=address,
        cpus=settings.cpus,
        gpus=gpus,
        per_gpu=settings.per_gpu,
        workers=settings.workers,
    )


__all__ = ["LOCAL", "Engine", "LocalEngine", "open_engine"]
