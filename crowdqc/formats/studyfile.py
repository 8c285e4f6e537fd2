"""The study file that reads what was written."""

from __future__ import annotations

import json

from crowdqc.formats.output import Output


def study_file(output: Output, annotations: dict[str, object]) -> str:
    """Text of a study file (TOML); `annotations` are the keys that the format needs."""
    study = output.study
    labels = [
        f"{key} = {{ name = {_toml(name)}, value = {key + 1}, single = {_toml(single)} }}"
        for key, name in enumerate(study.labels)
        for single in [name in study.single]
    ]
    keys = {"format": output.format, **annotations, "rater_scope": study.rater_scope}
    if output.size is not None:
        keys["size"] = output.size
    if output.spacing is not None:
        keys["spacing"] = output.spacing
    lines = [
        "# Written by crowdqc convert. Values in masks are numbered anew.",
        "[study]",
        f"name = {_toml(study.name)}",
        'out = "out"',
        "",
        "[labels]",
        *labels,
        "",
        "[annotations]",
        *[f"{key} = {_toml(value)}" for key, value in keys.items()],
    ]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    """A text, number, truth value, list or table of texts as TOML."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }"
    return json.dumps(value)
