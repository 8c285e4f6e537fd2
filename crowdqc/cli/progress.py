"""How far long work is: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from crowdqc.stages.base import Progress, Watch, duration, unwatched

EVERY_S = 30.0
"""Seconds between two lines."""


def watcher(say: Callable[[str], None], *, quiet: bool) -> Watch:
    """What shows progress on stderr, by a title.

    Parameters
    ----------
    say : callable
        Says a line, where stderr is no terminal.
    quiet : bool
        Whether nothing is shown.
    """
    from rich.console import Console

    if quiet:
        return unwatched
    console = Console(stderr=True)
    if console.is_terminal:
        return lambda title: _bar(title, console)
    return lambda title: _lines(title, say, clock=time.monotonic)


@contextmanager
def _bar(title: str, console: Any) -> Iterator[Progress]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bar(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task(title, total=None)

        def tell(done: int, total: int) -> None:
            bar.update(task, advance=done, total=total)

        yield tell


@contextmanager
def _lines(
    title: str, say: Callable[[str], None], *, clock: Callable[[], float]
) -> Iterator[Progress]:
    """A line every `EVERY_S` seconds at most; short work says nothing."""
    begun = shown_at = clock()
    have = 0

    def tell(done: int, total: int) -> None:
        nonlocal shown_at, have
        have += done
        now = clock()
        if have and now - shown_at >= EVERY_S:
            shown_at = now
            left = (now - begun) / have * (total - have)
            say(f"{title}: {have} of {total}, {duration(left)} left")

    yield tell
