"""Write the pages that are made from the code: ``python docs/make.py``.

A test checks that they say what the code says.
"""

from __future__ import annotations

import runpy
import tomllib
import types
import typing
from pathlib import Path
from typing import Any

import click
import pydantic

from crowdqc.cli import main
from crowdqc.config import Config, to_toml
from crowdqc.findings import known_checks
from crowdqc.judge import declared
from crowdqc.report.glossary import WORDS

HERE = Path(__file__).parent
drawing = runpy.run_path(str(HERE / "drawing.py"))["drawing"]


def cli_page() -> str:
    """Help of every command."""
    lines = ["# Command line", "", "Made from the code by `python docs/make.py`.", ""]
    context = click.Context(main, info_name="crowdqc", **main.context_settings)
    lines += [*_help(main, context)]
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        if command is not None:
            child = click.Context(command, info_name=name, parent=context)
            lines += [f"## crowdqc {name}", "", *_help(command, child)]
    return "\n".join(lines).rstrip() + "\n"


def _help(command: click.Command, context: click.Context) -> list[str]:
    context.terminal_width = context.max_content_width = 80
    return ["```text", command.get_help(context).rstrip(), "```", ""]


def study_page() -> str:
    """Every key of a study file."""
    lines = [
        "# Study file",
        "",
        "One TOML file drives everything. Paths are relative to it and may hold",
        "`${NAME:-default}`, an environment variable with a default. A key that is not known is",
        "refused. Made from the code by `python docs/make.py`.",
        "",
    ]
    for name, field in Config.model_fields.items():
        model, suffix = _model(field.annotation)
        lines += _section(f"{name}{suffix}", model)
        for key, inner in model.model_fields.items():
            if _holds_section(inner.annotation):
                part, names = _model(inner.annotation)
                lines += _section(f"{name}{suffix}.{key}{names.replace('ID', 'NAME')}", part)
    return "\n".join(lines).rstrip() + "\n"


def _section(name: str, model: type[pydantic.BaseModel]) -> list[str]:
    lines = [f"## [{name}]", "", _sentence(model.__doc__), ""]
    lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
    lines += [_row(key, field) for key, field in model.model_fields.items()]
    return [*lines, ""]


def _holds_section(annotation: Any) -> bool:
    """Whether a key is a section of its own, or a table of sections by name."""
    if isinstance(annotation, type):
        return issubclass(annotation, pydantic.BaseModel)
    return any(map(_holds_section, typing.get_args(annotation)))


def _model(annotation: Any) -> tuple[type[pydantic.BaseModel], str]:
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return annotation, ""
    arguments = [a for a in typing.get_args(annotation) if a is not type(None)]
    suffix = ".ID" if typing.get_origin(annotation) is dict else ""
    return _model(arguments[-1])[0], suffix


def _row(key: str, field: Any) -> str:
    default = "required" if field.is_required() else _default(field)
    meaning = _sentence(field.description)
    return f"| `{key}` | {_type(field.annotation)} | {default} | {meaning} |"


def _default(field: Any) -> str:
    value = field.get_default(call_default_factory=True)
    if isinstance(value, pydantic.BaseModel) and len(type(value).model_fields) > 5:
        return "its own section"
    if isinstance(value, pydantic.BaseModel):
        value = value.model_dump(exclude_none=True)
    return "" if value in (None, {}, [], ()) else f"`{to_toml(value)}`"


def _type(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(a) for a in arguments if a is not type(None))
    if origin is dict:
        return f"table of {_type(arguments[1])}"
    if origin in (list, tuple):
        return "list of " + _type(arguments[0])
    names = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}
    name = getattr(annotation, "__name__", str(annotation))
    return names.get(name, "section, see below")


def _sentence(text: str | None) -> str:
    return " ".join((text or "").split()).replace("``", "`")


def policy_page() -> str:
    """Every measure and every check that a policy may name."""
    lines = ["# What a policy may name", "", "Made from the code by `python docs/make.py`.", ""]
    lines += ["## Measures", ""]
    lines += ["| scope | measure | unit | meaning |", "|---|---|---|---|"]
    lines += [
        f"| {scope} | `{name}` | {'' if one.unit == '1' else one.unit} | {one.about or one.title} |"
        for scope in typing.get_args(declared.Scope)
        for name, one in declared.measures_of(scope).items()
    ]
    lines += [
        "",
        "Of raters, labels, cases and the study also `findings:CHECK`: how many findings of a",
    ]
    lines += ["check name it."]
    lines += ["", "## Checks", "", "How grave the findings of a check are, unless a policy says"]
    lines += ["otherwise in its table `[severities]`.", ""]
    lines += ["| check | severity | what it finds |", "|---|---|---|"]
    checks = sorted(known_checks().items())
    lines += [f"| `{name}` | {one.severity} | {one.about} |" for name, one in checks]
    return "\n".join(lines) + "\n"


def glossary_page() -> str:
    """The words of the report, and those of the documentation."""
    more = tomllib.loads((HERE / "glossary.toml").read_text(encoding="utf-8"))
    words = {**WORDS, **more}
    lines = ["# Glossary", "", "What words mean in crowdqc, its reports and these pages.", ""]
    lines += [f"**{word}**\n: {words[word]}\n" for word in sorted(words, key=str.lower)]
    return "\n".join(lines)


PAGES = {
    "glossary.md": glossary_page,
    "cli.md": cli_page,
    "study-file.md": study_page,
    "policy-names.md": policy_page,
    "images/architecture.svg": drawing,
}

if __name__ == "__main__":
    for page, make in PAGES.items():
        (HERE / page).write_text(make(), encoding="utf-8")
