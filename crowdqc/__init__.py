"""Quality control and label fusion of crowd-sourced medical image annotations.

The names below are all that Python users need. Each is imported when it is first used, so that
``import crowdqc`` and ``crowdqc --help`` are light. `crowdqc.agreement`, `crowdqc.completeness` and
`crowdqc.compare` are packages; called, they do what their main function does.
"""

from __future__ import annotations

import sys

if sys.argv[:1] == ["-m"] and not sys.flags.safe_path:
    del sys.path[0]  # python -m crowdqc: the current folder may hold somebody's study and typing.py

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Finding": "findings",
    "InputError": "findings",
    "Manifest": "judge",
    "Policy": "judge",
    "Study": "schema",
    "assess_completeness": "completeness.assess:assess",
    "compare_scores": "compare.table",
    "convert": "formats.conversion",
    "example_boxes": "simulate.example",
    "fuse": "fusion.table",
    "gate": "api",
    "gwet_ac1": "agreement.kappa",
    "icc": "agreement.icc",
    "krippendorff_alpha": "agreement.alpha",
    "load_policy": "judge.policy",
    "match": "matching.table",
    "measure_agreement": "agreement.measures",
    "next_raters": "fusion.ask:ask",
    "read_study": "api",
    "run": "api",
    "score_raters": "api",
    "staple_boxes": "fusion.staple",
    "staple_masks": "fusion.staple",
    "work_list": "completeness.worklist:todo",
}
"""Public name -> module of this package, and the name there where it is another."""

if TYPE_CHECKING:
    from crowdqc.agreement.alpha import krippendorff_alpha
    from crowdqc.agreement.icc import icc
    from crowdqc.agreement.kappa import gwet_ac1
    from crowdqc.agreement.measures import measure_agreement
    from crowdqc.api import gate, read_study, run, score_raters
    from crowdqc.compare.table import compare_scores
    from crowdqc.completeness.assess import assess as assess_completeness
    from crowdqc.completeness.worklist import todo as work_list
    from crowdqc.findings import Finding, InputError
    from crowdqc.formats.conversion import convert
    from crowdqc.fusion.ask import ask as next_raters
    from crowdqc.fusion.staple import staple_boxes, staple_masks
    from crowdqc.fusion.table import fuse
    from crowdqc.judge import Manifest, Policy
    from crowdqc.judge.policy import load_policy
    from crowdqc.matching.table import match
    from crowdqc.schema import Study
    from crowdqc.simulate.example import example_boxes

__all__ = [
    "Finding",
    "InputError",
    "Manifest",
    "Policy",
    "Study",
    "assess_completeness",
    "compare_scores",
    "convert",
    "example_boxes",
    "fuse",
    "gate",
    "gwet_ac1",
    "icc",
    "krippendorff_alpha",
    "load_policy",
    "match",
    "measure_agreement",
    "next_raters",
    "read_study",
    "run",
    "score_raters",
    "staple_boxes",
    "staple_masks",
    "work_list",
]


def __getattr__(name: str) -> Any:
    """A public name, imported now."""
    if name in {"agreement", "compare", "completeness"}:
        return importlib.import_module(f"crowdqc.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'crowdqc' has no attribute '{name}'")
    module, _, inner = _HOMES[name].partition(":")
    found = getattr(importlib.import_module(f"crowdqc.{module}"), inner or name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


class _CallablePackage(ModuleType):
    """A package with a function of the same name: calling the package calls it."""

    main: Callable[..., Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.main(*args, **kwargs)


def make_callable(package: str, function: Callable[..., Any]) -> None:
    """Let a package be called as its main function, whose name it has for users.

    Parameters
    ----------
    package : str
        Name of a package that is imported.
    function : callable
        Is called in its place.
    """
    module = sys.modules[package]
    module.__class__ = _CallablePackage
    module.__dict__["main"] = function
