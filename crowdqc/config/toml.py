"""TOML files of the user's: read, held against a model, and every fault reported at once.

A fault is reported with the file, the path of its key, the value that was met, the rule and, of a
key that is not known, the nearest one that is.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
import types
import typing
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pydantic

from crowdqc import plugins
from crowdqc.files import read_settings
from crowdqc.findings import InputError
from crowdqc.text import must_be_one_of, nearest


class Section(pydantic.BaseModel):
    """A section of the study file: frozen, and without unknown keys."""

    model_config = pydantic.ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )


Model = typing.TypeVar("Model", bound=Section)


PARTS_MAX = 16
"""Most parts of a key, ``a.b.c``. A parser needs memory for each part of each beginning of it."""
_PART = r"""(?:[\w-]++|"(?:[^"\\\n]|\\.)*+["\n\\]?|'[^'\n]*+['\n]?)"""
_KEYS = re.compile(
    r"""(?:"{3}(?:[^\\]|\\.)*?(?:"{3,5}|\\?\Z)|'{3}.*?(?:'{3,5}|\Z)|\#[^\n]*+)"""
    rf"|(?P<deep>{_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{PARTS_MAX},}}+)|{_PART}",
    re.DOTALL,
)
"""What a TOML file is made of: texts of several lines, comments, keys that are too long, words.

What is not closed reaches to the end: the parser stops there, too.
"""


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file of the user's.

    Raises
    ------
    InputError
        If it cannot be read, is no TOML, or has keys of more than `PARTS_MAX` parts.
    """
    text = read_settings(Path(path))
    for found in _KEYS.finditer(text):
        if found["deep"]:
            line = text.count("\n", 0, found.start()) + 1
            raise InputError(f"{path}:{line}: a key has more than {PARTS_MAX} parts.")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also numbers of 5000 digits, deep nesting
        raise InputError(f"{path}: is not valid TOML: {error}.") from error


def validate(model: type[Model], data: dict[str, Any], path: Path) -> Model:
    """Check what was read from a file.

    Parameters
    ----------
    model : type
        What the file must be.
    data : dict
        What was read.
    path : Path
        The file, for messages.

    Returns
    -------
    Model
        The data as `model`.

    Raises
    ------
    InputError
        With a line for each fault: the path of the key, the value and the rule.
    """
    try:
        return model.model_validate(data)
    except pydantic.ValidationError as error:
        lines = [f"{path}: {_explain(fault, model)}" for fault in error.errors()]
        raise InputError("\n".join(lines)) from error


NAME_MAX = 100
NAME = rf"^[\w+-][\w.+-]{{0,{NAME_MAX - 1}}}$"
"""Names of labels and studies: they become parts of file names and of lists."""
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
"""A variable of the environment, with its default if it has one."""
_SECRET = re.compile(
    "(?:^|_)(?:KEY|PASS|AUTH)(?:_|$)|APIKEY|TOKEN|SECRET|PASSWORD|PASSPHRASE|CREDENTIAL",
    re.IGNORECASE,
)
"""Names of variables whose values no path, and so no message or page, may hold."""


def expand(text: str) -> str:
    """`text` with ``${NAME}`` and ``${NAME:-default}`` replaced from the environment.

    Raises
    ------
    InputError
        If a variable without a default is not set, or the name is that of a secret.
    """

    def value(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        if _SECRET.search(name):
            raise InputError(
                f"'{text}' asks for the environment variable {name}, which may be a secret. Copy "
                "its value to a variable of another name if it is a folder."
            )
        found = os.environ.get(name) or default
        if found is None:
            raise InputError(f"'{text}' needs the environment variable {name}, which is not set.")
        return found

    return _VARIABLE.sub(value, text)


def defaulted(text: str) -> dict[str, str]:
    """Variables of `text` that are not set, each with the default that stands for it.

    Examples
    --------
    >>> defaulted("${NOT_SET_HERE:-../data}/{case}.txt")
    {'NOT_SET_HERE': '../data'}
    """
    found = _VARIABLE.findall(text)
    return {name: default for name, default in found if default and not os.environ.get(name)}


def to_toml(value: object) -> str:
    """A text, number, truth value, list or table as TOML, on one line.

    Examples
    --------
    >>> print(to_toml({"size": (512, 512), "left kidney": {"name": "K", "single": True}}))
    { size = [512, 512], "left kidney" = { name = "K", single = true } }
    """
    if isinstance(value, Mapping):
        return f"{{ {', '.join(toml_line(*item) for item in value.items())} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(to_toml, value))}]"
    if isinstance(value, str):  # odd bytes of file names are no characters
        value = value.encode("utf-8", "backslashreplace").decode("utf-8")
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_line(key: str, value: object) -> str:
    """A key and its value as TOML, on one line.

    Parameters
    ----------
    key : str
    value : str, int, float, bool, list or mapping

    Returns
    -------
    line : str
        Without the end of the line.

    Examples
    --------
    >>> toml_line("out folder", "out")
    '"out folder" = "out"'
    """
    return f"{key if re.fullmatch('[A-Za-z0-9_-]+', key) else to_toml(key)} = {to_toml(value)}"


def nearest_or_all(name: str, known: Collection[str]) -> str:
    """End of a message on a name that is not known: the nearest that is, or else all.

    Parameters
    ----------
    name : str
        What was written.
    known : collection of str
        What may be written; not empty.

    Returns
    -------
    str
        Begins with a semicolon and ends the sentence.
    """
    near = nearest(name, known)
    return f"; did you mean '{near}'?" if near else f"; known are {', '.join(sorted(known))}."


def registered(group: plugins.Group, what: str) -> pydantic.AfterValidator:
    """Validator of a name that must be registered in a group of plug-ins.

    Parameters
    ----------
    group : str
        Group of entry points, for example ``"crowdqc.fusion"``.
    what : str
        How messages call such a name.

    Returns
    -------
    pydantic.AfterValidator
        Raises ``ValueError`` for any other name.
    """

    def check(name: str) -> str:
        known = plugins.names(group)
        if name not in known:
            raise ValueError(must_be_one_of(what, name, known))
        return name

    return pydantic.AfterValidator(check)


_LISTS = {"tuple_type", "list_type", "set_type", "frozen_set_type"}
"""What pydantic calls a value that is no list, where one is wanted."""


def _explain(fault: Any, model: type[Section]) -> str:
    place = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        known = _fields_at(model, fault["loc"][:-1])
        return f"'{place}' is not a known key{nearest_or_all(str(fault['loc'][-1]), known)}"
    if fault["type"] == "missing":
        return f"'{place}' is missing."
    message = _rule(fault)
    if not place:
        return message
    fault_text = f"'{place}': {message[0].lower()}{message[1:]}"
    if fault["type"] == "value_error":  # a rule of ours, which names the value where it helps
        return fault_text if fault_text.endswith(("?", ".")) else f"{fault_text}."
    return f"{fault_text}; got {_short(fault['input'])}."


def _rule(fault: Any) -> str:
    """What a value must be: of names in words, which say more than their pattern."""
    if fault.get("ctx", {}).get("pattern") == NAME:
        return (
            "must be a name of letters, digits and ._+-, without a blank, at most "
            f"{NAME_MAX} and not with a point first"
        )
    if fault["type"] in _LISTS:
        return "must be a list in square brackets"
    return str(fault["msg"]).removeprefix("Value error, ")


def _short(value: object) -> str:
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."


def _fields_at(model: type[Section], place: tuple[str | int, ...]) -> list[str]:
    """Names of the keys that are known at a place of the file."""
    kind: Any = model
    for part in place:
        fields = getattr(kind, "model_fields", None)
        kind = fields[part].annotation if fields and part in fields else _inner(kind)
        if typing.get_origin(kind) in (typing.Union, types.UnionType):
            kind = next(a for a in typing.get_args(kind) if a is not type(None))
    return list(getattr(kind, "model_fields", {}))


def _inner(kind: Any) -> Any:
    """The type of the values of a dict."""
    arguments = typing.get_args(kind)
    return arguments[-1] if arguments else None
