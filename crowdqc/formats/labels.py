"""Which label a class of a file is: by name where the file names it, else by its id.

Names count as equal where only case, blanks and punctuation differ, and a label may have further
ones (``also``). YOLO files name nothing, but
a class list often lies beside them (``data.yaml``, ``classes.txt``, ``obj.names``): where it names
labels, it is the list of the people who drew, and is followed for every class of their files.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from crowdqc.config import Config
from crowdqc.files import Unreadable, read_json, read_text, refuse_more
from crowdqc.findings import Finding
from crowdqc.formats.files import parse_number, relative

CLASS_LISTS = (
    *("data.yaml", "data.yml", "dataset.yaml", "dataset.yml", "classes.txt", "class_list.txt"),
    *("obj.names", "classes.names", "_darknet.labels", "darknet.labels", "predefined_classes.txt"),
    *("labels.txt", "names.txt", "notes.json"),
)
"""Names of class lists, in the order in which they are looked for."""
LEVELS_UP = 3
"""A class list is looked for in the folder of a file and in so many above it."""
_BYTES_MAX = 1_000_000
_DEPTH_MAX = 20


class Labels:
    """The labels of a study, found by name or by id."""

    def __init__(self, config: Config) -> None:
        self.by_id = {key: label.name for key, label in config.labels.items()}
        self._spellings: defaultdict[str, set[str]] = defaultdict(set)
        self._by_whole_id = {whole(key): name for key, name in self.by_id.items()}
        names = config.label_names
        plain = [plain_name(name) for name in names]
        count = Counter(plain)
        unique = {p: name for p, name in zip(plain, names, strict=True) if count[p] == 1}
        also = {text: label.name for label in config.labels.values() for text in label.also}
        self._also = frozenset(also)
        self._by_whole_id = {whole(text): name for text, name in also.items()} | self._by_whole_id
        also |= {plain_name(text): name for text, name in also.items()}
        self._by_name = {**also, **unique, **{name: name for name in names}}

    def named(self, name: str) -> str | None:
        """The label of this name; `None` where there is none."""
        return self._by_name.get(name) or self._by_name.get(plain_name(name))

    def find(self, text: str) -> str | None:
        """The label of this name, else of this id."""
        name = self.named(text)
        if name is not None and text not in self._also:
            self._spellings[name].add(text)
        return name or self.of_id(text)

    def of_id(self, text: str) -> str | None:
        """The label of this id; ``1.0`` is 1."""
        return self.by_id.get(text) or self._by_whole_id.get(whole(text))

    def spellings(self) -> list[Finding]:
        """A note on labels whose name the files write in several ways."""
        several = {name: sorted(texts) for name, texts in self._spellings.items() if len(texts) > 1}
        spellings = "; ".join(
            f"{name} as {', '.join(map(repr, several[name]))}" for name in several
        )
        message = (
            f"Names that differ in case, blanks or punctuation count as one label: {spellings}."
        )
        return [Finding(check="label-spelled", message=message)][: len(several)]

    @property
    def known(self) -> str:
        """All labels, for a message."""
        return ", ".join(f"{key} ({name})" for key, name in self.by_id.items())

    def classes(self, named: Mapping[str, str], where: str) -> Classes:
        """What ids mean where a class list names them; by ``[labels]`` where it names no label."""
        labels = {whole(key): label for key, name in named.items() if (label := self.find(name))}
        return Classes(labels, where) if labels else Classes({**self._by_whole_id}, "[labels]")

    def differences(self, named: Mapping[str, str], where: str) -> list[Finding]:
        """A finding where the ids of a class list mean something else than in ``[labels]``."""
        followed = any(map(self.named, named.values()))
        words = []
        for key, name in named.items():
            label, expected = self.named(name), self.of_id(key)
            if label is None and expected is not None:
                words.append(f"{key} is '{name[:60]}', no label")
            elif label != expected:
                words.append(f"{key} is '{label}', in [labels] {_quoted(expected)}")
        if not words:
            return []
        rule = (
            "The list is followed: ids of names that are no labels, or are not in it, are refused."
            if followed
            else "None of its names is a label, so it is not followed."
        )
        message = f"{where}: the class list differs from [labels]: {'; '.join(words[:20])}. {rule}"
        return [Finding(check="class-list-differs", message=message, source=where)]


class Classes(dict[str, str]):
    """Id -> label, and where that is given."""

    def __init__(self, labels: Mapping[str, str], where: str) -> None:
        super().__init__(labels)
        self.where = where


class ClassLists:
    """The class lists that lie beside the files of a study."""

    def __init__(self, config: Config) -> None:
        self.labels = Labels(config)
        self._config = config
        self._by_folder: dict[str, Classes] = {}
        self._by_list: dict[Path | None, Classes] = {None: self.labels.classes({}, "[labels]")}
        self._named: dict[str, dict[str, str]] = {}
        self._findings: list[Finding] = []

    def of(self, folder: str) -> Classes:
        """Class in the files of `folder` -> label."""
        if folder not in self._by_folder:
            self._by_folder[folder] = self._read(find_class_list(Path(folder), LEVELS_UP))
        return self._by_folder[folder]

    def findings(self) -> list[Finding]:
        """What was found in the lists, and which of them differ from one another."""
        groups: dict[tuple[object, ...], list[str]] = {}
        for where, named in self._named.items():
            key = tuple((whole(key), plain_name(name)) for key, name in named.items())
            groups.setdefault(key, []).append(where)
        found = [*self._findings, *self.labels.spellings()]
        if len(groups) > 1:
            lists = " differ from ".join(", ".join(names[:5]) for names in groups.values())
            message = f"Class lists differ: {lists}. Each file is read by the list nearest to it."
            found.append(Finding(check="class-lists-vary", message=message))
        return found

    def _read(self, path: Path | None) -> Classes:
        if path not in self._by_list and path is not None:
            where = relative(path, self._config)
            try:
                named = read_class_list(path)
                refuse_more(len(named), self._config.limits.labels, "labels")
            except Unreadable as error:
                named = {}
                finding = Finding(
                    check="class-list-unreadable",
                    message=f"{where}: {error} Classes are read as [labels] says.",
                    source=where,
                )
                self._findings.append(finding)
            else:
                self._named[where] = named
                self._findings += self.labels.differences(named, where)
            self._by_list[path] = self.labels.classes(named, where)
        return self._by_list[path]


def find_class_list(folder: Path, levels_up: int = 0) -> Path | None:
    """The nearest class list in `folder` or up to `levels_up` folders above it.

    Parameters
    ----------
    folder : Path
        Where to begin.
    levels_up : int
        How many of its parents are looked at after it.

    Returns
    -------
    Path or None
        One of `CLASS_LISTS`; `None` if there is none.
    """
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
    if path.suffix == ".json":  # of Label Studio's exports
        data = read_json(path, _BYTES_MAX)
        rows = data.get("categories") if isinstance(data, dict) else None
        rows = [one for one in rows if isinstance(one, dict)] if isinstance(rows, list) else []
        return {str(one.get("id")): str(one["name"]) for one in rows if one.get("name")}
    text = read_text(path, _BYTES_MAX)
    if path.suffix in {".yaml", ".yml"}:
        return _yaml_names(text)
    lines = re.split("\r\n|\r|\n", text)
    named = {str(number): line.strip() for number, line in enumerate(lines) if line.strip()}
    return {key: name for key, name in named.items() if parse_number(name.split()[0]) is None}


def _yaml_names(text: str) -> dict[str, str]:
    import yaml  # noqa: PLC0415 - only where there is such a file

    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        _refuse_nesting(yaml.parse(text, loader))
        data = yaml.load(text, loader)  # noqa: S506 - a safe one
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Unreadable(f"is not YAML ({type(error).__name__}).") from error
    names = data.get("names") if isinstance(data, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict):
        raise Unreadable("has no list or table 'names'.")
    return {str(key): name for key, name in names.items() if isinstance(name, str)}


def _refuse_nesting(events: Iterable[Any]) -> None:
    """Refuse what takes more time or memory than its size: parts within parts, and aliases."""
    depth = 0
    for event in events:
        kind = type(event).__name__
        if kind == "AliasEvent":
            raise Unreadable("repeats parts by aliases (*), which a class list does not need.")
        depth += kind.endswith(("SequenceStartEvent", "MappingStartEvent"))
        depth -= kind.endswith(("SequenceEndEvent", "MappingEndEvent"))
        if depth > _DEPTH_MAX:
            raise Unreadable(f"nests lists more than {_DEPTH_MAX} deep.")


def plain_name(name: str) -> str:
    """`name` without what makes no difference: case, blanks and punctuation.

    Examples
    --------
    >>> plain_name(" Left-Kidney"), plain_name("left_kidney")
    ('leftkidney', 'leftkidney')
    """
    return re.sub(r"[^\w+]+|_+", "", unicodedata.normalize("NFKC", name).casefold()) or name


def whole(text: str) -> str:
    """The id that a number is: ``1.0``, ``01`` and ``1e0`` are 1.

    Examples
    --------
    >>> whole("1.000e+00"), whole("1.5"), whole("liver")
    ('1', '1.5', 'liver')
    """
    number = parse_number(text)
    if number is None or not abs(number) < 1e9 or number % 1:
        return text
    return str(int(number))


def _quoted(name: str | None) -> str:
    return "nothing" if name is None else f"'{name}'"
