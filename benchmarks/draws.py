"""What benchmarks with several draws of raters share: results kept unit by unit, and intervals."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats


class OutOfTimeError(Exception):
    """The time that was given is over; what is done is kept."""


class Units:
    """Results of units of work, a file each: what is there is not made again.

    Parameters
    ----------
    folder : Path
        Where the files are; a file appears whole or not at all.
    minutes : float
        After how many minutes no further unit is begun.
    """

    def __init__(self, folder: Path, minutes: float = math.inf) -> None:
        self.folder = folder
        self.end = time.monotonic() + 60 * minutes

    def get(self, name: str, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """The unit of this name, made if it is not there."""
        path = self.folder / f"{name}.csv"
        if not path.is_file():
            if time.monotonic() >= self.end:
                raise OutOfTimeError
            begun = time.process_time()
            frame = make()
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            frame.to_csv(part, index=False, float_format="%.4f", lineterminator="\n")
            part.replace(path)
            say(f"{name} ({time.process_time() - begun:.1f} CPU s)")
        return read_unit(path)


def read_unit(path: Path) -> pd.DataFrame:
    """A table with cases as text."""
    return pd.read_csv(path, dtype={"case": str})


def say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


def crossed_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float, float]:
    """Mean of values (D draws, C cases) and its interval, where both draws and cases are a sample.

    The mixed model ``value = mean + draw + case + rest`` by its mean squares: the variance of the
    mean is ``(M_draw + M_case - M_rest) / (D C)``, with Satterthwaite's degrees of freedom. With
    one draw the interval is over cases alone.

    Examples
    --------
    >>> mean, low, high = crossed_interval(np.array([[1.0, 2.0, 3.0]]))
    >>> round(mean, 2), round(low, 2), round(high, 2)
    (2.0, -0.48, 4.48)
    """
    draws, cases = values.shape
    mean = float(values.mean())
    if draws == 1:
        squares, frees = [values.var(ddof=1)], [cases - 1]
    else:
        of_draw, of_case = values.mean(axis=1), values.mean(axis=0)
        rest = values - of_draw[:, None] - of_case + mean
        frees = [draws - 1, cases - 1, (draws - 1) * (cases - 1)]
        squares = [cases * of_draw.var(ddof=1), draws * of_case.var(ddof=1)]
        squares.append((rest**2).sum() / frees[2])
    total = max(squares[0], sum(squares[:2]) - (squares[2] if draws > 1 else 0))
    free = total**2 / max(sum(s**2 / f for s, f in zip(squares, frees, strict=True)), 1e-300)
    half = float(stats.t.ppf((1 + level) / 2, max(free, 1))) * math.sqrt(total / (draws * cases))
    return mean, mean - half, mean + half


def signed(found: tuple[float, float, float]) -> str:
    """A difference with its interval."""
    return f"{found[0]:+.3f} ({found[1]:+.3f} to {found[2]:+.3f})"


def table(frame: pd.DataFrame) -> str:
    """A table in Markdown."""
    rows = [list(frame.columns), ["---"] * len(frame.columns), *frame.astype(str).to_numpy()]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def verdict(found: tuple[float, float, float]) -> str:
    """A difference in words: it counts as one only where its interval leaves out zero."""
    if max(map(abs, found)) < 0.0005:
        return "no difference to three digits"
    if found[1] <= 0 <= found[2]:
        return f"no clear difference, {signed(found)}"
    return f"{'better' if found[0] > 0 else 'worse'}, {signed(found)}"
