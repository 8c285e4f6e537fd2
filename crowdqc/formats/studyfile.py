"""The study file that reads what was written."""

from __future__ import annotations

from crowdqc.config import toml_line
from crowdqc.formats.output import Output


def study_file(output: Output, annotations: dict[str, object]) -> str:
    """Text of a study file (TOML).

    Parameters
    ----------
    output : Output
        What is converted.
    annotations : dict
        The keys of ``[annotations]`` that the format needs.
    """
    study = output.study
    labels = [
        {"name": name, "value": value, "single": name in study.single}
        for value, name in enumerate(study.labels, start=1)
    ]
    keys = {"format": output.format, **annotations, "rater_scope": study.rater_scope}
    keys |= {} if output.size is None else {"size": output.size}
    keys |= {} if output.spacing is None else {"spacing": output.spacing}
    lines = [
        "# Written by crowdqc convert. Values in masks are numbered anew.",
        "[study]",
        toml_line("name", study.name),
        'out = "out"',
        "",
        "[labels]",
        *[toml_line(str(key), label) for key, label in enumerate(labels)],
        "",
        "[annotations]",
        *[toml_line(key, value) for key, value in keys.items()],
    ]
    if output.pictures:
        lines += ["", "[images]", toml_line("path", "images/{case}-slice{slice}.png")]
    return "\n".join(lines) + "\n"
