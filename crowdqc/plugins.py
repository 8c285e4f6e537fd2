"""What other packages may add: formats, fusion methods, predictors and checks.

Each is an entry point of an installed package; what crowdqc brings itself is registered the same
way, in its own ``pyproject.toml``. Names are known without importing anything, so that help and
error messages can list them; an object is imported when it is first used.
"""

from __future__ import annotations

import traceback
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, get_args

from crowdqc.findings import InputError
from crowdqc.text import must_be_one_of

Group = Literal["crowdqc.formats", "crowdqc.fusion", "crowdqc.predictors", "crowdqc.checks"]


def names(group: Group) -> list[str]:
    """Names that are registered in a group, sorted.

    Parameters
    ----------
    group : str
        The kind of object.

    Returns
    -------
    list of str

    Raises
    ------
    InputError
        If nothing is registered in it: the installation is out of date.
    """
    return sorted(_registered(group))


def load(group: Group, name: str) -> Any:
    """Import what is registered under a name.

    Parameters
    ----------
    group : str
        The kind of object.
    name : str
        A name of `names`.

    Returns
    -------
    object
        What the entry point refers to. Its users check that it does what the group asks for.

    Raises
    ------
    InputError
        If the name is not registered, is registered twice, or cannot be imported.
    """
    found = _registered(group).get(name, [])
    if not found:
        raise InputError(must_be_one_of(group.removeprefix("crowdqc."), name, names(group)))
    if len(found) > 1:
        raise InputError(
            f"'{name}' is registered in '{group}' by several packages: "
            f"{', '.join(entry.value for entry in found)}. Uninstall all but one."
        )
    try:
        return found[0].load()
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"'{name}' of '{group}' cannot be imported from {found[0].value}: {error}. "
            "Install what it needs, or uninstall the package that registers it."
        ) from error


def blamed(error: BaseException) -> str:
    """Which package an exception came from, where its traceback passes through one of others.

    Parameters
    ----------
    error : BaseException
        As it was caught.

    Returns
    -------
    str
        A message for whoever used the package; "" where only crowdqc and its libraries ran.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    modules = {str(frame.f_globals.get("__name__", "")).partition(".")[0] for frame in frames}
    for group in get_args(Group):
        for name, entries in _registered(group).items():
            for entry in entries:
                package = entry.module.partition(".")[0]
                if package in modules - _OURS:
                    what = f"{type(error).__name__}: {error}"
                    return (
                        f"'{name}' of '{group}', from {entry.value}, failed: {what}. This is a "
                        f"fault in {package}, not in crowdqc: report it to its authors with the "
                        "lines above, or do without it."
                    )
    return ""


_OURS = {"crowdqc", "samgen", "train"}


@cache
def _registered(group: Group) -> dict[str, list[EntryPoint]]:
    """Entry points of a group by name; one that is listed twice with one value counts once.

    crowdqc registers some in every group: where there is none, what is installed is not this code.
    """
    found: dict[str, dict[str, EntryPoint]] = {}
    for entry in entry_points(group=group):
        found.setdefault(entry.name, {})[entry.value] = entry
    if not found:
        raise InputError(
            f"No entry point of '{group}' is installed, not even crowdqc's own: the installed "
            "crowdqc is older than this code. Install it again (pip install --editable .)."
        )
    return {name: list(entries.values()) for name, entries in found.items()}
