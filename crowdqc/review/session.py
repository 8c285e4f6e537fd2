"""One reviewer's work: what was decided, what is next, how far it is, and saving it."""

from __future__ import annotations

import math
import statistics
import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

import crowdqc
from crowdqc.decisions import FileChangedError, append_decisions, decisions_file, read_decisions
from crowdqc.decisions.rows import COLUMNS, REAL, parse_row, to_cells
from crowdqc.findings import InputError
from crowdqc.review.study import StudyView
from crowdqc.schema import BOX, PLACE

_STOP = 0.05
"""Expected error from which a box is worth a decision, whatever an ordinary one has."""
_ORDINARY = 1.25
"""A decision is worth while its object is more doubtful than this, times the median one."""
_DECISION_S = 6.0
"""Seconds that a decision takes until some have been measured."""


class StaleError(InputError):
    """Another window, or another program, decided on the same object in the meantime."""


class Session:
    """The work of one reviewer on one queue.

    Parameters
    ----------
    view : StudyView
        The study.
    queue : DataFrame
        As from `crowdqc.review.queue.make_queue`.
    reviewer : str
        Who decides.
    read_only : bool
        Whether nothing is saved.
    sampled : bool
        Whether the queue is a sample, of which every item counts, however likely it is right.
    """

    def __init__(
        self,
        view: StudyView,
        queue: pd.DataFrame,
        *,
        reviewer: str,
        read_only: bool = False,
        sampled: bool = False,
    ) -> None:
        self.view, self.queue, self.reviewer, self.read_only = view, queue, reviewer, read_only
        self._path = decisions_file(view.config)
        self._lock = threading.Lock()
        self._size = -1
        self._keys = list(
            zip(*(queue[name].tolist() for name in ("unit", *PLACE, "object")), strict=True)
        )
        self._gain = queue["gain"].to_numpy(np.float64)
        usual = float(np.median(self._gain)) if len(queue) else 0.0
        self._enough = -1.0 if sampled else max(_STOP, _ORDINARY * usual)
        self._numbers: dict[tuple[Any, ...], int] = {key: i for i, key in enumerate(self._keys)}
        self._before: dict[tuple[Any, ...], int] = {}
        self._forget()
        with self._lock:
            self._refresh()
            again = np.flatnonzero(queue["again"].to_numpy(bool))
            self._before = {self._keys[i]: self._seen(self._keys[i]) for i in again}
            self._open[again] = True

    def _forget(self) -> None:
        self._stacks: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
        self._count: dict[tuple[Any, ...], int] = {}
        self._seconds: list[float] = []
        self._open = np.ones(len(self._keys), dtype=bool)

    def summary(self) -> dict[str, Any]:
        """What the page needs to begin."""
        view = self.view
        return {
            "study": view.config.study.name,
            "reviewer": self.reviewer,
            "readOnly": self.read_only,
            "labels": view.labels,
            "raters": [view.shown_name(number) for number in range(len(view.raters))],
            "cases": view.cases,
            "first": self.first_open(),
            "progress": self.progress(),
        }

    def item(self, number: int) -> dict[str, Any]:
        """What is asked at a place of the queue, and all that helps to answer."""
        unit, case, k, label, of = self._keys[number]
        view = self.view
        first, last = view.extent(case)
        place = view.place(case, k, label)
        fused = place.iloc[of] if 0 <= of < len(place) else None
        if unit == "mask" and len(place):
            fused = place.iloc[0]
        mask = view.outlines(case, k, label)
        with self._lock:
            self._refresh()
            standing, seen = self._standing(self._keys[number]), self._seen(self._keys[number])
        return {
            "number": number,
            "unit": unit,
            "label": label,
            "object": of,
            "why": self.queue["why"].iloc[number],
            "gain": float(self._gain[number]),
            "box": None if fused is None else [_plain(fused[edge]) for edge in BOX],
            "outline": mask["outline"],
            "inputs": mask["inputs"] if unit == "mask" else view.inputs(case, k, label),
            "extent": [first, last],
            "run": view.run(case, label),
            "volume": view.is_volume(case),
            "decided": standing,
            "seen": seen,
            **view.slice(case, k),
        }

    def decide(self, number: int, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Save a decision; it is on the disk when this returns.

        Raises
        ------
        StaleError
            If the object was decided on since the item was shown.
        InputError
            If it breaks a rule, or cannot be saved.
        """
        key = self._keys[number]
        rows = [self._row(key, entry)]
        if entry.get("decision") == "relabel" and entry.get("to"):
            rows.append(self._row(key, {**entry, "decision": "draw"}, label=str(entry["to"])))
        if entry.get("decision") == "undo" and self._last_of(key) == "relabel":
            rows += self._undo_of_new_label(key, entry)
        with self._lock:
            self._refresh()
            if entry.get("seen") != self._seen(key):
                raise StaleError("This was decided in another window. It is shown as it is now.")
            try:
                self._size = append_decisions(self._path, rows, size=self._size)
            except FileChangedError as error:
                raise StaleError(
                    "Another program has just decided something. Try again."
                ) from error
            for row in rows:
                self._count_row(parse_row(dict(zip(COLUMNS, to_cells(row), strict=True))))
            return {
                "seen": self._seen(key),
                "decided": self._standing(key),
                "progress": self._progress(),
            }

    def first_open(self, after: int = -1) -> int:
        """The next place of the queue on which the reviewer has not decided; -1 where none is."""
        with self._lock:
            self._refresh()
            left = np.flatnonzero(self._open[after + 1 :])
            return int(left[0]) + after + 1 if len(left) else -1

    def progress(self) -> dict[str, Any]:
        """How far it is, and what the rest is worth."""
        with self._lock:
            self._refresh()
            return self._progress()

    def _progress(self) -> dict[str, Any]:
        left = self._gain[self._open]
        pace = statistics.median(self._seconds[-50:]) if self._seconds else _DECISION_S
        worth = left > self._enough
        next_gain = float(left.max(initial=0.0))
        return {
            "done": len(self._keys) - len(left),
            "all": len(self._keys),
            "worth": int(worth.sum()),
            "secondsLeft": float(pace * worth.sum()),
            "next": next_gain,
            "stop": not worth.any(),
        }

    def _row(
        self, key: tuple[Any, ...], entry: Mapping[str, Any], label: str | None = None
    ) -> dict[str, Any]:
        unit, case, k, own, of = key
        other = label is not None
        row = {
            "unit": unit,
            "case": case,
            "slice": k,
            "label": label if other else own,
            "object": None if other or of < 0 else of,
            "decision": str(entry.get("decision", "")),
            "grade": str(entry.get("grade", "")),
            "dice": _number(entry.get("dice")),
            "reviewer": self.reviewer,
            "time": time.time(),
            "seconds": _number(entry.get("seconds")),
            "shown": str(entry.get("shown", ""))[:200],
            "version": crowdqc.__version__,
            "inputs": "" if other else str(entry.get("inputs", ""))[:64],
        }
        if row["decision"] == "rater":
            row["rater"] = self._rater(entry.get("rater"))
        return row | self._box(entry.get("box"), case, k)

    def _rater(self, number: Any) -> str:
        raters = self.view.raters
        if not isinstance(number, int) or not 0 <= number < len(raters):
            raise InputError(f"'rater' must be a number below {len(raters)}; got {number!r}.")
        return raters[number]

    def _box(self, box: Any, case: str, k: int) -> dict[str, float]:
        if box is None:
            return {}
        if not isinstance(box, list) or len(box) != 4:
            raise InputError(f"'box' must be four numbers; got {str(box)[:80]}.")
        size = self.view.slice(case, k)
        most = [size["width"], size["height"]] * 2
        edges = [_number(value) for value in box]
        if not all(-0.01 <= edge <= top + 0.01 for edge, top in zip(edges, most, strict=True)):
            raise InputError("'box' must lie within the image.")
        return dict(zip(BOX, (round(edge, 2) for edge in edges), strict=True))

    def _refresh(self) -> None:
        """Read the file again where it is not as it was."""
        size = self._path.stat().st_size if self._path.is_file() else 0
        if size == self._size:
            return
        table = read_decisions(self.view.config)
        self._forget()
        self._size = size
        for row in table.to_dict("records"):
            self._count_row(row)

    def _count_row(self, row: dict[str, Any]) -> None:
        if row["reviewer"] != self.reviewer:
            return
        number = -1 if math.isnan(row["object"]) else int(row["object"])
        key = (row["unit"], row["case"], row["slice"], row["label"], number)
        self._count[key] = self._count.get(key, 0) + 1
        stack = self._stacks.setdefault(key, [])
        if row["decision"] != "undo":
            stack.append({**row, "turn": self._count[key]})
        elif stack:
            stack.pop()
        if key in self._numbers:
            self._open[self._numbers[key]] = self._last(key) is None
        if not math.isnan(row["seconds"]):
            self._seconds.append(row["seconds"])

    def _standing(self, key: tuple[Any, ...]) -> dict[str, Any] | None:
        row = self._last(key)
        if row is None:
            return None
        box = [_plain(row[edge]) for edge in BOX]
        raters = self.view.raters
        return {
            "decision": row["decision"],
            "grade": row["grade"],
            "rater": raters.index(row["rater"]) if row["rater"] in raters else None,
            "box": box if row["decision"] in REAL and box[0] is not None else None,
        }

    def _last(self, key: tuple[Any, ...]) -> dict[str, Any] | None:
        """The row that counts; none where the decision of before is asked for again."""
        stack = self._stacks.get(key)
        return stack[-1] if stack and stack[-1]["turn"] > self._before.get(key, 0) else None

    def _seen(self, key: tuple[Any, ...]) -> int:
        return self._count.get(key, 0)

    def _last_of(self, key: tuple[Any, ...]) -> str:
        row = self._last(key)
        return str(row["decision"]) if row else ""

    def _undo_of_new_label(
        self, key: tuple[Any, ...], entry: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """A row that takes back what a relabelling drew under the other label."""
        unit, case, k, own, _ = key
        drawn = [
            other
            for other, stack in self._stacks.items()
            if other[:3] == (unit, case, k) and other[3] != own and other[4] < 0 and stack
        ]
        return [self._row(key, entry, label=other[3]) for other in drawn[-1:]]


def _plain(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


def _number(value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"a number was expected; got {str(value)[:80]!r}.")
    return float(value)
