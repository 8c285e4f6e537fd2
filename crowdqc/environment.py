"""Environment variables for a while: other people's programs take their settings from them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping


@contextlib.contextmanager
def set_variables(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables while a block runs; what others set in it goes with them.

    Parameters
    ----------
    variables : mapping of str to str
        Name -> value. Variables that are not named stay as they are.

    Examples
    --------
    >>> with set_variables({"CROWDQC_EXAMPLE": "1"}):
    ...     os.environ["CROWDQC_EXAMPLE"]
    '1'
    >>> "CROWDQC_EXAMPLE" in os.environ
    False
    """
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
