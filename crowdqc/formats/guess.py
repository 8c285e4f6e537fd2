"""A first study file, guessed from a folder of annotations.

Looks at names and at what stands in a few files; everything that it cannot know is left as a
comment that says what to fill in.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import itertools
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from crowdqc.files import Unreadable
from crowdqc.findings import InputError
from crowdqc.formats.files import parse_number, printable
from crowdqc.formats.guess_documents import Contents, look_into
from crowdqc.formats.guess_names import (
    document_pattern,
    file_pattern,
    image_pattern,
    of_one_split,
    stem_pattern,
)
from crowdqc.formats.labels import LEVELS_UP, find_class_list, read_class_list
from crowdqc.formats.table import refuse_separator

FILES_MAX = 5000
"""Files that are looked into."""
CHARACTERS_MAX = 100_000
"""Characters of a file that are looked at."""
ROWS_MAX = 100_000
"""Rows of a table that are looked at."""
SEVERAL = 0.05
"""Share of readings with several objects of a label above which these are no slips of the hand."""

NOT_BOXES = {"classes", "class_list", "labels", "notes", "readme", "train", "val", "test"}
PICTURES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}

_COLUMN_NAMES = {
    "case": ("case", "case_id", "scan_id", "image_id", "image", "item", "patient", "patient_id"),
    "slice": ("slice", "slice_index", "slice_id", "frame", "z"),
    "rater": ("rater", "worker", "annotator", "labeler", "reader", "user", "reader_session"),
    "label": ("label", "class", "class_name", "category", "organ"),
    "x0": ("x0", "xmin", "x_min", "xtl", "left"),
    "y0": ("y0", "ymin", "y_min", "ytl", "top"),
    "x1": ("x1", "xmax", "x_max", "xbr", "right"),
    "y1": ("y1", "ymax", "y_max", "ybr", "bottom"),
    "width": ("width", "image_width"),
    "height": ("height", "image_height"),
}


@dataclass
class Guess:
    """What a folder seems to hold."""

    format: str
    path: str
    labels: dict[str, str] = field(default_factory=dict)
    """Id -> name."""
    columns: dict[str, str] = field(default_factory=dict)
    image_path: str | None = None
    more: list[str] = field(default_factory=list)
    """Further lines of ``[annotations]``."""
    says_rater: bool = False
    """Whether the files name the rater."""
    several: set[str] = field(default_factory=set)
    """Ids of labels of which a slice was seen to hold more than one object."""
    remarks: list[str] = field(default_factory=list)


def guess_study(folder: Path) -> Guess:
    """What `folder` seems to hold.

    Raises
    ------
    InputError
        If it is no folder, or holds no annotations of a format that is known.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder.")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    texts = [p for p in files if p.suffix == ".txt" and p.stem.lower() not in NOT_BOXES]
    documents = [path for path in files if path.suffix in {".json", ".xml"}]
    if not any(map(_may_be_yolo, texts[:FILES_MAX])):
        texts = []  # such as a licence beside the annotations
    found = None if texts else look_into(documents)
    if texts:
        guess = _guess_yolo(folder, texts)
    elif found is not None:
        guess = _guess_documents(folder, *found)
    else:
        tables = [path for path in files if path.name.endswith((".csv", ".csv.gz"))]
        if not tables:
            raise InputError(
                f"{folder}: holds no annotations that are known: no YOLO files (.txt), no COCO or "
                "Label Studio JSON, no CVAT, Pascal VOC or LIDC XML, no table (.csv)."
            )
        guess = _guess_table(folder, tables)
    if guess.format != "lidc":  # its slices cannot be laid on images
        guess.image_path = _images(folder, files)
    if any(line.startswith("#") for line in [*guess.more, *_image_lines(guess)]):
        guess.remarks.append("Something stands as a comment that says 'fill in': do so first.")
    return guess


def render_study(guess: Guess, *, name: str) -> str:
    """Text of a commented study file (TOML)."""
    labels = "\n".join(
        f"{_key(key)} = {{ name = {_text(label)}, value = {value}"
        f"{', single = false' if key in guess.several else ''} }}"
        for value, (key, label) in enumerate(guess.labels.items(), start=1)
    )
    lines = [
        "# A study file of crowdqc. Paths are relative to this file.",
        *[f"# {remark}" for remark in guess.remarks],
        "",
        "[study]",
        f'name = "{name}"',
        'out  = "out"',
        "",
        "[labels]                 # id in the annotation files -> name, value in masks",
        labels,
        "",
        "[annotations]",
        f'format = "{guess.format}"',
        f"path   = {_text(guess.path)}",
        *_columns(guess),
        *guess.more,
        *_rater(guess),
        "",
        *_image_lines(guess),
    ]
    return "\n".join(lines) + "\n"


def _columns(guess: Guess) -> list[str]:
    if not guess.columns:
        return []
    inner = ", ".join(f"{name} = {_text(column)}" for name, column in guess.columns.items())
    return [f"columns = {{ {inner} }}"]


def _rater(guess: Guess) -> list[str]:
    if "{rater}" in guess.path or "rater" in guess.columns or guess.says_rater:
        return []
    return [
        'rater  = "all"           # one rater for everything; if each label had its own:',
        '# rater_of = { spleen = "A", liver = "B" }',
    ]


def _image_lines(guess: Guess) -> list[str]:
    if guess.image_path is None:
        return [_SIZE] if guess.format == "yolo" else []
    lines = ["[images]", f"path = {_text(guess.image_path)}"]
    if guess.image_path.endswith((".nii", ".nii.gz")):
        lines += [
            'picture = "rot90"         # how the annotated picture was made from volume[:, :, k]',
            "window  = { level = 40, width = 400 }   # CT, HU; MR: { percentiles = [0.5, 99.5] }",
        ]
    return lines


def _key(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else _text(text)


def _text(text: str) -> str:
    """A TOML string; what JSON escapes is what TOML must."""
    return json.dumps(printable(text), ensure_ascii=False).replace("\x7f", "\\u007f")


def _guess_documents(folder: Path, found: Contents, paths: list[Path]) -> Guess:
    one_a_slice = found.format in {"voc", "lidc"}
    guess = Guess(found.format, "", says_rater=found.says_rater)
    guess.path = document_pattern(folder, paths, each_a_slice=one_a_slice)
    guess.labels = {name: re.sub(r"[^\w.+-]", "_", name) for name in sorted(found.labels)}
    guess.remarks += _splits(folder, paths)
    if found.images:
        pattern = image_pattern(list(found.images))
        if "{slice}" in pattern:
            guess.more.append(f"image  = {_text(pattern)}")
        else:
            guess.remarks.append(f"{_NO_SLICE} names of images: each image is a case.")
    if found.format == "voc":
        if "{slice}" not in guess.path:
            guess.remarks.append(f"{_NO_SLICE} file names: each file is a case.")
        guess.more.append(_FIRST_PIXEL[found.first_pixel])
    if found.format == "lidc":
        guess.more += ['rater_scope = "case"   # a session of two scans is two people', _SIZE]
    if not guess.labels:
        guess.remarks.append(_NO_BOX)
        guess.labels = {"0": "label_0"}
    return guess


_NO_BOX = "No box was found: say in [labels] which labels there are."
_NO_SLICE = "No slice number was found in the"
_FIRST_PIXEL = {
    0: "first_pixel = 0          # a box begins at 0",
    None: "# first_pixel = 1        # 1 as in Pascal VOC itself, 0 as OpenLabeling: fill in",
}
_SIZE = "# size   = [512, 512]      # rows, columns of every image: fill in"


def _may_be_yolo(path: Path) -> bool:
    return path.stat().st_size == 0 or bool(_yolo_lines(path))


def _guess_yolo(folder: Path, texts: list[Path]) -> Guess:
    guess = Guess("yolo", file_pattern(folder, texts))
    guess.labels = _classes(folder, texts, guess.remarks)
    if "{slice}" not in guess.path:
        guess.remarks.append(f"{_NO_SLICE} file names: each file is a case.")
    guess.remarks += _splits(folder, texts)
    return guess


def _splits(folder: Path, paths: Sequence[Path]) -> list[str]:
    names = [path.relative_to(folder) for path in paths]
    left_out = len(names) - len(of_one_split(names))
    remark = (
        f"{left_out} files of other splits (train, val, test) are not read: put all into one "
        "folder, or write a study file for each."
    )
    return [remark] if left_out else []


def _classes(folder: Path, texts: Sequence[Path], remarks: list[str]) -> dict[str, str]:
    """Ids that occur in the files, with their names where a class list is at hand."""
    lines = [line for path in texts[:FILES_MAX] for line in _yolo_lines(path)]
    others = sum(len(words) != 5 for words in lines)
    if others:
        remarks.append(
            f"{others} of {len(lines)} lines have not 5 fields (a confidence, or a polygon "
            "instead of a box) and will be refused: 'class x_centre y_centre width height'."
        )
    ids = {words[0] for words in lines}
    if not ids:
        remarks.append(_NO_BOX)
        return {"0": "label_0"}
    names = _class_list(folder, texts[0].parent)
    order = sorted(ids, key=lambda text: (not text.isdecimal(), text.zfill(12)))
    found = {key: names.get(key, f"label_{key}") for key in order}
    return {key: re.sub(r"[^\w.+-]", "_", name) for key, name in found.items()}


def _yolo_lines(path: Path) -> list[list[str]]:
    """Words of the lines that are a class and at least four numbers."""
    lines = [line.split() for line in _beginning(path).splitlines()[:ROWS_MAX]]
    lines = [words for words in lines if len(words) >= 5]
    for words in lines[:1]:
        words[0] = words[0].lstrip("\ufeff")
    return [words for words in lines if all(parse_number(word) is not None for word in words[1:])]


def _beginning(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(CHARACTERS_MAX)


def _class_list(folder: Path, deepest: Path) -> dict[str, str]:
    """Names of the classes as the reader finds them, or in the folder or beside it."""
    path = find_class_list(deepest, LEVELS_UP) or find_class_list(folder, 1)
    try:
        return read_class_list(path) if path else {}
    except Unreadable:
        return {}


def _guess_table(folder: Path, tables: Sequence[Path]) -> Guess:
    """From the table that has most of the columns."""
    columns, errors = {}, []
    for one in tables[:FILES_MAX]:
        try:
            columns[one] = _known_columns(one)
        except InputError as error:
            errors.append(error)
    if not columns:
        raise errors[0]
    path = max(columns, key=lambda one: len(columns[one]))
    guess = Guess("table", path.relative_to(folder).as_posix(), columns=columns[path])
    absent = [name for name in ("case", "x0", "y0", "x1", "y1") if name not in guess.columns]
    if absent:
        guess.remarks.append(f"Say in 'columns' which column is {', '.join(absent)}.")
    if len(tables) > 1:
        others = ", ".join(one.name for one in tables if one != path)
        guess.remarks.append(f"Tables that are not read: {printable(others)[:200]}.")
    counts = _table_labels(path, guess.columns)
    guess.labels = {name: re.sub(r"[^\w.+-]", "_", name) for name in sorted(counts)}
    guess.several = {name for name, (places, more) in counts.items() if more > SEVERAL * places}
    guess.remarks.append("Where a slice may hold several objects of a label: single = false.")
    return guess


def _known_columns(path: Path) -> dict[str, str]:
    """Our name of a column -> its name in the table."""
    with _open(path) as file:
        header = next(csv.reader(file), [])
    refuse_separator(header, str(path))
    lower = {column.lower().strip(): column for column in header}
    return {
        ours: lower[name]
        for ours, names in _COLUMN_NAMES.items()
        for name in names[::-1]
        if name in lower
    }


def _table_labels(path: Path, columns: dict[str, str]) -> dict[str, tuple[int, int]]:
    """Labels in the first rows of a table -> readings that drew one, and several of them."""
    place = [columns[name] for name in ("case", "slice", "rater") if name in columns]
    drawn: Counter[tuple[str, ...]] = Counter()
    with _open(path) as file:
        for row in itertools.islice(csv.DictReader(file), ROWS_MAX):
            label = (row[columns["label"]] or "").strip() if "label" in columns else "object"
            if label and row.get(columns.get("x0", "")) != "":
                drawn[(label, *(row[name] or "" for name in place))] += 1
    readings = Counter(key[0] for key in drawn)
    several = Counter(key[0] for key, n in drawn.items() if n > 1)
    return {label: (n, several[label]) for label, n in readings.items()} or {"object": (0, 0)}


@contextlib.contextmanager
def _open(path: Path) -> Iterator[TextIO]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as raw:
            yield io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="")
    except (OSError, EOFError, csv.Error, zlib.error) as error:
        raise InputError(f"{path}: cannot be read as a table: {error}.") from error


def _images(folder: Path, files: list[Path]) -> str | None:
    """Pattern of images in or beside the folder, if there are any."""
    volumes = [path for path in files if path.name.endswith((".nii", ".nii.gz"))]
    pictures = [path for path in files if path.suffix.lower() in PICTURES]
    if volumes:
        ending = ".nii.gz" if volumes[0].name.endswith(".gz") else ".nii"
        stems = [path.name.removesuffix(ending) for path in volumes]
        where = volumes[0].parent.relative_to(folder)
        stem = stem_pattern(stems, case_known=False) if len(stems) > 1 else stems[0]
        return (where / f"{stem}{ending}").as_posix()
    if pictures:
        stem = stem_pattern([path.stem for path in pictures], case_known=False)
        where = pictures[0].parent.relative_to(folder)
        return (where / f"{stem}{pictures[0].suffix}").as_posix()
    return None
