"""Which label a class of a file is: by name where the file names it, else by its id.

Names count as equal where only case, spaces and punctuation differ. YOLO files name nothing, but
a class list often lies beside them (``data.yaml``, ``classes.txt``, ``obj.names``): where it
contradicts ``[labels]``, the list of the people who drew is followed, and a finding says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from crowdqc.config import Config
from crowdqc.files import Unreadable, read_text
from crowdqc.findings import Finding, Severity
from crowdqc.formats.files import relative

CLASS_LISTS = ("data.yaml", "data.yml", "classes.txt", "class_list.txt", "obj.names")
"""Names of class lists, in the order in which they are looked for."""
LEVELS_UP = 3
"""A class list is looked for in the folder of a file and in so many above it."""
_BYTES_MAX = 1_000_000


class Labels:
    """The labels of a study, found by name or by id."""

    def __init__(self, config: Config) -> None:
        self.by_id = {key: label.name for key, label in config.labels.items()}
        names = config.label_names
        plain = [_plain(name) for name in names]
        unique = {p: name for p, name in zip(plain, names, strict=True) if plain.count(p) == 1}
        self._by_name = {**unique, **{name: name for name in names}}

    def named(self, name: str) -> str | None:
        """The label of this name; `None` where there is none."""
        return self._by_name.get(name) or self._by_name.get(_plain(name))

    def find(self, text: str) -> str | None:
        """The label of this name, else of this id."""
        return self.named(text) or self.by_id.get(text)

    @property
    def known(self) -> str:
        """All labels, for a message."""
        return ", ".join(f"{key} ({name})" for key, name in self.by_id.items())

    def reconciled(self, classes: Mapping[str, str]) -> dict[str, str]:
        """Id in a file -> label: by the name that `classes` gives the id, else by the id."""
        by_name = {key: self.named(name) for key, name in classes.items()}
        return {**self.by_id, **{key: name for key, name in by_name.items() if name}}

    def differences(self, classes: Mapping[str, str], where: str) -> list[Finding]:
        """A finding where the ids of a class list mean something else than in ``[labels]``."""
        words = []
        for key, name in classes.items():
            label, expected = self.named(name), self.by_id.get(key)
            if label is None and expected is not None:
                words.append(f"{key} is '{name[:60]}', no label, read as '{expected}'")
            elif label != expected:
                words.append(f"{key} is '{label}', in [labels] {_quoted(expected)}")
        if not words:
            return []
        message = (
            f"{where}: the class list differs from [labels]: {'; '.join(words[:20])}. Names of the "
            "list are followed where they are labels. Check which of the two is right."
        )
        severity = Severity.REVIEW
        return [
            Finding(check="class-list-differs", severity=severity, message=message, source=where)
        ]


class ClassLists:
    """The class lists that lie beside the files of a study."""

    def __init__(self, config: Config) -> None:
        self.labels = Labels(config)
        self.findings: list[Finding] = []
        self._config = config
        self._by_folder: dict[str, dict[str, str]] = {}
        self._by_list: dict[Path, dict[str, str]] = {}

    def of(self, folder: str) -> dict[str, str]:
        """Class in the files of `folder` -> label."""
        if folder not in self._by_folder:
            self._by_folder[folder] = self._read(find_class_list(Path(folder), LEVELS_UP))
        return self._by_folder[folder]

    def _read(self, path: Path | None) -> dict[str, str]:
        if path is None:
            return self.labels.by_id
        if path not in self._by_list:
            where = relative(path, self._config)
            try:
                classes = read_class_list(path)
            except Unreadable as error:
                message = f"{where}: {error} Classes are read as [labels] says."
                finding = Finding(
                    check="class-list-unreadable",
                    severity=Severity.REVIEW,
                    message=message,
                    source=where,
                )
                self.findings.append(finding)
                classes = {}
            self.findings += self.labels.differences(classes, where)
            self._by_list[path] = self.labels.reconciled(classes)
        return self._by_list[path]


def find_class_list(folder: Path, levels_up: int = 0) -> Path | None:
    """The nearest class list in `folder` or up to `levels_up` folders above it."""
    for place in [folder, *folder.parents][: levels_up + 1]:
        for name in CLASS_LISTS:
            if (place / name).is_file():
                return place / name
    return None


def read_class_list(path: Path) -> dict[str, str]:
    """Id -> name: the line number from 0, or what a ``data.yaml`` says under ``names``.

    Raises
    ------
    Unreadable
        If it is no text, or no YAML with names.
    """
    text = read_text(path, _BYTES_MAX)
    if path.suffix in {".yaml", ".yml"}:
        return _yaml_names(text)
    lines = re.split("\r\n|\r|\n", text)
    return {str(number): line.strip() for number, line in enumerate(lines) if line.strip()}


def _yaml_names(text: str) -> dict[str, str]:
    import yaml  # noqa: PLC0415 - only where there is such a file

    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Unreadable(f"is not YAML ({type(error).__name__}).") from error
    names = data.get("names") if isinstance(data, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict):
        raise Unreadable("has no list or table 'names'.")
    return {str(key): name for key, name in names.items() if isinstance(name, str)}


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "_", name.casefold()).strip("_")


def _quoted(name: str | None) -> str:
    return "nothing" if name is None else f"'{name}'"
