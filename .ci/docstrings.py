"""Validate the docstrings of public functions by numpydoc: ``python .ci/docstrings.py``.

Part of ``make lint``. Of what a module names in its ``__all__`` parameters and results are asked
for, of all other functions of a module without underscore the parameters; several may be described
together ("As in ..."). A function of one parameter may do with a sentence.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

from numpydoc.validate import validate

PACKAGES = ("crowdqc", "samgen", "train")
APART = ("train.trainers", "train.nnunet_trainers")
"""Modules that only nnU-Net imports: they load torch."""
PARAMETERS = {
    "GL08",  # no docstring
    "SS01",  # no summary
    "PR01",  # a parameter is not documented
    "PR02",  # a documented parameter does not exist
    "PR03",  # parameters in another order
}
OFFERED = {
    "PR04",  # a parameter without a type
    "RT01",  # the result is not documented
    "RT03",  # the result without a sentence
}
LENIENT = {"PR01", "RT01"}
"""Not asked of a function of one parameter."""


def main() -> int:
    """Print every fault; 1 if there are any."""
    found = public_functions()
    faults = [f"{name}: {text}" for name in sorted(found) for text in faults_of(name, found[name])]
    print(*faults, f"{len(found)} public functions, {len(faults)} faults", sep="\n")  # noqa: T201
    return int(bool(faults))


def public_functions() -> dict[str, set[str]]:
    """Where a function is defined -> what is asked of it."""
    found: dict[str, set[str]] = {}
    for module in map(importlib.import_module, modules()):
        offered = set(getattr(module, "__all__", ()))
        for name in {*vars(module), *offered}:
            thing = getattr(module, name)
            if not inspect.isfunction(thing) or name.startswith("_"):
                continue
            where = f"{thing.__module__}.{thing.__qualname__}"
            few = len(inspect.signature(thing).parameters) < 2
            if name in offered and thing.__module__.partition(".")[0] in PACKAGES:
                found[where] = (PARAMETERS | OFFERED) - (LENIENT if few else set())
            elif thing.__module__ == module.__name__ and not few:
                found.setdefault(where, PARAMETERS)
    return found


def modules() -> Iterator[str]:
    """Names of all modules of the packages."""
    for package in map(importlib.import_module, PACKAGES):
        yield package.__name__
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.startswith(APART) and not module.name.endswith("__main__"):
                yield module.name


def faults_of(name: str, asked: set[str]) -> list[str]:
    """What numpydoc says of one function, as far as it is asked."""
    return [f"{code} {text}" for code, text in validate(name)["errors"] if code in asked]


if __name__ == "__main__":
    raise SystemExit(main())
