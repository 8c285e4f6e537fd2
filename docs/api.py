"""Pages of the public functions: one for each room of the house."""

from __future__ import annotations

import importlib
import inspect

ROOMS = {
    "tables": (
        "Tables, boxes and files",
        {
            "crowdqc.schema": ("Study", "conform", "empty", "natural_order"),
            "crowdqc.findings": ("Finding", "Severity", "Verdict", "InputError"),
            "crowdqc.config": ("load_config",),
            "crowdqc.store": ("Store",),
            "crowdqc.geometry": (),
            "crowdqc.volumes": ("read_volume", "read_labels", "write_labels", "to_grey"),
        },
    ),
    "formats": ("Reading and writing", {"crowdqc.formats": (), "crowdqc.formats.conversion": ()}),
    "matching": ("Matching", {"crowdqc.matching": ()}),
    "agreement": ("Agreement and raters", {"crowdqc.agreement": (), "crowdqc.crowd": ()}),
    "fusion": ("Fusion", {"crowdqc.fusion": ()}),
    "completeness": ("Completeness", {"crowdqc.completeness": ()}),
    "judge": ("Verdicts", {"crowdqc.judge": (), "crowdqc.judge.policy": ("ask_all",)}),
    "compare": ("Paired comparison", {"crowdqc.compare": ()}),
    "simulate": ("Simulation", {"crowdqc.simulate": ()}),
    "plan": ("How many raters", {"crowdqc.plan": ()}),
    "risk": ("Risk of masks", {"crowdqc.risk": ()}),
    "report": ("Report", {"crowdqc.report": ()}),
    "engine": ("Engines", {"crowdqc.engine": (), "crowdqc.engine.cluster": ("RayEngine",)}),
    "samgen": (
        "Masks from boxes: samgen",
        {
            "samgen.generate": ("Task", "generate_masks"),
            "samgen.forecast": (),
            "samgen.predictor": (),
            "samgen.predictors.intensity": (),
            "samgen.prompts": (),
            "samgen.settings": (),
            "samgen.uncertainty": (),
            "samgen.volume3d": (),
            "samgen.weights": ("list_weights", "find_weights", "verify_checkpoint"),
        },
    ),
    "train": (
        "nnU-Net: train",
        {
            "train.dataset": ("TrainingCase", "DatasetPlan", "build_dataset"),
            "train.splits": (),
            "train.evaluate": ("ScoredCase", "dice", "score_masks"),
            "train.preflight": ("preflight",),
            "train.run": (),
        },
    ),
}
"""Name of a page -> its title, and the modules on it with the names to show; () is all."""


def pages() -> dict[str, str]:
    """Name of a page in docs/api -> its text."""
    made = {f"{name}.rst": _page(*room) for name, room in ROOMS.items()}
    listed = "".join(f"   {name}\n" for name in ROOMS)
    made["index.rst"] = f"{_title('Python')}\n.. toctree::\n   :maxdepth: 2\n\n{listed}"
    return made


def _page(title: str, modules: dict[str, tuple[str, ...]]) -> str:
    parts = [_title(title)]
    for module, names in modules.items():
        parts += [_title(module, "-"), f".. automodule:: {module}\n"]
        parts += [_entry(module, name) for name in names or public(module)]
    return "\n".join(parts)


def _title(text: str, line: str = "=") -> str:
    return f"{text}\n{line * len(text)}\n"


def _entry(module: str, name: str) -> str:
    thing = getattr(importlib.import_module(module), name)
    kind = "autoclass" if inspect.isclass(thing) else "autofunction"
    members = "   :members:\n" if kind == "autoclass" else ""
    return f".. {kind}:: {module}.{name}\n{members}"


def public(module: str) -> list[str]:
    """Classes and functions that a module offers, in its own order."""
    loaded = importlib.import_module(module)
    own = [
        name
        for name, thing in vars(loaded).items()
        if getattr(thing, "__module__", "") == module and not name.startswith("_")
    ]
    offered = getattr(loaded, "__all__", own)
    return [
        name
        for name in offered
        if inspect.isclass(getattr(loaded, name)) or inspect.isfunction(getattr(loaded, name))
    ]
