"""A file by which crowdqc appears in a report of MultiQC: its "custom content", one row a case."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

NAME = "multiqc_mqc.json"
"""Name of the file: MultiQC looks for ``*_mqc.json``."""
_HEADERS = {
    "verdict": {"title": "Verdict", "description": "What the gate decides on the case"},
    "labels": {"title": "Labels", "description": "Labels of which something may be used"},
    "boxes": {"title": "Boxes", "description": "Fused boxes that masks may be drawn from"},
    "reasons": {"title": "Reasons", "description": "Rules that the case does not pass"},
}
_NUMBER = {"format": "{:,.0f}", "scale": False}


def to_multiqc(manifest: Mapping[str, Any], boxes: Mapping[str, int]) -> str:
    """The verdict on each case, as MultiQC reads it.

    Parameters
    ----------
    manifest : mapping
        What ``manifest.json`` holds; the prompts are not needed.
    boxes : mapping of str to int
        Number of usable boxes of each case that has some.

    Returns
    -------
    str
        JSON; the same for the same manifest.
    """
    content = {
        "id": "crowdqc_cases",
        "section_name": "crowdqc",
        "description": f"Annotations of the study {manifest['study']}, as its gate decided.",
        "plot_type": "table",
        "pconfig": {"id": "crowdqc_cases_table", "title": "crowdqc: cases", "col1_header": "Case"},
        "headers": {
            name: header if name == "verdict" else {**header, **_NUMBER}
            for name, header in _HEADERS.items()
        },
        "data": {
            one["case"]: {
                "verdict": one["verdict"],
                "labels": sum(label["verdict"] != "reject" for label in one["labels"].values()),
                "boxes": boxes.get(one["case"], 0),
                "reasons": len(one["reasons"]),
            }
            for one in manifest["cases"]
        },
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
