"""Pages of the Python interface: the names that ``import crowdqc`` offers, and no others."""

from __future__ import annotations

import inspect

import crowdqc

PAGES = {
    "studies": (
        "Studies and boxes",
        (
            "Study",
            "read_study",
            "convert",
            "example_boxes",
            "match",
            "run",
            "Finding",
            "InputError",
        ),
    ),
    "raters": (
        "Agreement and raters",
        (
            *("measure_agreement", "score_raters", "next_raters"),
            *("krippendorff_alpha", "gwet_ac1", "icc"),
        ),
    ),
    "fusion": ("Fusion", ("fuse", "staple_boxes", "staple_masks")),
    "judge": (
        "Completeness and verdicts",
        ("assess_completeness", "work_list", "gate", "Manifest", "load_policy", "Policy"),
    ),
    "compare": ("Paired comparison", ("compare_scores",)),
}
"""Name of a page -> its title, and the names on it."""


def pages() -> dict[str, str]:
    """Name of a page in docs/api -> its text."""
    made = {f"{name}.rst": _page(*page) for name, page in PAGES.items()}
    listed = "".join(f"   {name}\n" for name in PAGES)
    intro = "What ``import crowdqc`` offers; `the tutorial <../python.html>`_ uses most of it.\n"
    made["index.rst"] = f"{_title('Python')}\n{intro}\n.. toctree::\n   :maxdepth: 2\n\n{listed}"
    return made


def _page(title: str, names: tuple[str, ...]) -> str:
    return "\n".join([_title(title), *map(_entry, names)])


def _title(text: str) -> str:
    return f"{text}\n{'=' * len(text)}\n"


def _entry(name: str) -> str:
    kind = "autoclass" if inspect.isclass(getattr(crowdqc, name)) else "autofunction"
    members = "   :members:\n" if kind == "autoclass" else ""
    return f".. {kind}:: crowdqc.{name}\n{members}"
