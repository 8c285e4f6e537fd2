"""A first study file, guessed from a folder of annotations.

Looks at names and at what stands in a few files; everything that it cannot know is left as a
comment that says what to fill in.
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from crowdqc.findings import InputError
from crowdqc.readers.files import printable
from crowdqc.readers.guess_documents import Contents, look_into

FILES_MAX = 5000
"""Files that are looked into."""
CHARACTERS_MAX = 100_000
"""Characters of a file that are looked at."""
ROWS_MAX = 100_000
"""Rows of a table that are looked at."""

NOT_BOXES = {"classes", "class_list", "labels", "notes", "readme", "train", "val", "test"}
PICTURES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}

_COLUMN_NAMES = {
    "case": ("case", "case_id", "patient", "patient_id", "scan_id", "image_id", "image", "item"),
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
        try:
            guess = _guess_table(folder, tables[0])
        except (OSError, EOFError, csv.Error, zlib.error) as error:
            raise InputError(f"{tables[0]}: cannot be read as a table: {error}.") from error
    if guess.format != "lidc":  # its slices cannot be laid on images
        guess.image_path = _images(folder, files)
    return guess


def render_study(guess: Guess, *, name: str) -> str:
    """Text of a commented study file (TOML)."""
    labels = "\n".join(
        f"{_key(key)} = {{ name = {_text(label)}, value = {value} }}"
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
    guess.path = _path_of(folder, paths, each_a_slice=one_a_slice)
    guess.labels = {name: re.sub(r"[^\w.+-]", "_", name) for name in sorted(found.labels)}
    stems = [Path(re.split(r"[\\/]", name)[-1]) for name in found.images]
    if stems:
        pattern = _stem_pattern([one.stem for one in stems], case_known="{case}" in guess.path)
        if "{slice}" in pattern:
            guess.more.append(f"image  = {_text(pattern + stems[0].suffix)}")
    if found.format == "voc":
        guess.more.append(_FIRST_PIXEL[found.first_pixel])
    if found.format == "lidc":
        guess.more += ['rater_scope = "case"   # a session of two scans is two people', _SIZE]
    if not guess.labels:
        guess.remarks.append("No box was found: say in [labels] which labels there are.")
        guess.labels = {"0": "label_0"}
    return guess


_FIRST_PIXEL = {
    0: "first_pixel = 0          # a box begins at 0",
    None: "# first_pixel = 1        # 1 as in Pascal VOC itself, 0 as OpenLabeling: fill in",
}
_SIZE = "# size   = [512, 512]      # rows, columns of every image: fill in"


def _path_of(folder: Path, paths: list[Path], *, each_a_slice: bool) -> str:
    """Pattern of the files: each a slice or a scan, or each a rater's."""
    if each_a_slice:
        return _pattern(folder, paths)
    names = [path.relative_to(folder).parts for path in paths]
    depth, _ = Counter(map(len, names)).most_common(1)[0]
    names = [name for name in names if len(name) == depth]
    parts = list(names[0])
    varying = [i for i in range(depth) if len({name[i] for name in names}) > 1]
    if varying:
        ending = paths[0].suffix if varying[0] == depth - 1 else ""
        parts[varying[0]] = "{rater}" + ending
    return "/".join(parts)


def _guess_yolo(folder: Path, texts: list[Path]) -> Guess:
    guess = Guess("yolo", _pattern(folder, texts))
    guess.labels = _classes(folder, texts)
    if "{slice}" not in guess.path:
        guess.remarks.append("No slice number was found in the file names: each file is a case.")
    return guess


def _pattern(folder: Path, texts: list[Path]) -> str:
    """Pattern of files with one slice each."""
    names = [path.relative_to(folder) for path in texts]
    depth, _ = Counter(len(name.parts) for name in names).most_common(1)[0]
    names = [name for name in names if len(name.parts) == depth]
    stems = Counter(name.stem for name in names)
    inner = list(names[0].parts[:-1])
    varying = [i for i in range(depth - 1) if len({name.parts[i] for name in names}) > 1]
    if varying:
        several = max(stems.values()) > 1
        inner[varying[0]] = "{rater}" if several else "{case}"
        if several and len(varying) > 1:
            inner[varying[1]] = "{case}"
    stem = _stem_pattern(list(stems), case_known="{case}" in inner)
    return "/".join([*inner, f"{stem}{names[0].suffix}"])


def _stem_pattern(stems: list[str], *, case_known: bool) -> str:
    """Pattern of the file names: the last number is the slice, what varies before is the case."""
    parts = [re.split(r"(\d+)", stem) for stem in stems]
    shape = Counter(tuple(part[::2]) for part in parts).most_common(1)[0][0]
    same = [part for part in parts if tuple(part[::2]) == shape]
    numbers = [i for i in range(1, len(same[0]), 2) if len({part[i] for part in same}) > 1]
    pattern = list(same[0])
    if len(same) < len(stems) and not case_known:  # cases are named, not numbered
        return "{case}" + _separator(stems) + "{slice}"
    if not numbers:
        return "{case}"
    first = range(1, len(pattern), 2)[0]
    if len(numbers) == 1 and not case_known and numbers[0] != first:
        pattern[first], pattern[numbers[0]] = "{case}", "{slice}"  # so far there is one case
        return "".join(pattern)
    if len(numbers) == 1 and not case_known:
        pattern[first] = "{case}"
        return "".join(pattern)
    pattern[numbers[-1]] = "{slice}"
    if not case_known:
        pattern[numbers[0]] = "{case}"
    return "".join(pattern)


def _separator(stems: list[str]) -> str:
    """What stands between a case's name and the slice's number, in most names."""
    separator = re.compile(r"((?:[-_. ]?(?:slice|frame)|[-_. ][sz])?[-_. ]?)\d+$")
    found = [separator.search(stem) for stem in stems]
    return Counter(match.group(1) if match else "" for match in found).most_common(1)[0][0]


def _classes(folder: Path, texts: Iterable[Path]) -> dict[str, str]:
    """Ids that occur in the files, with their names where a class list is at hand."""
    ids: set[str] = set()
    for path in list(texts)[:FILES_MAX]:
        words = [line.split() for line in _beginning(path).splitlines()]
        ids |= {word[0].lstrip("\ufeff") for word in words if len(word) == 5}
    names = _class_list(folder)
    order = sorted(ids, key=lambda text: (not text.isdecimal(), text.zfill(12)))
    found = {key: names.get(key, f"label_{key}") for key in order}
    return {key: re.sub(r"[^\w.+-]", "_", name) for key, name in found.items()}


def _beginning(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(CHARACTERS_MAX)


def _class_list(folder: Path) -> dict[str, str]:
    for place in (folder, folder.parent):
        for name in ("classes.txt", "class_list.txt", "obj.names"):
            if (place / name).is_file():
                lines = _beginning(place / name).splitlines()
                return {str(i): line.strip() for i, line in enumerate(lines) if line.strip()}
    return {}


def _guess_table(folder: Path, path: Path) -> Guess:
    with _open(path) as file:
        header = next(csv.reader(file), [])
    lower = {column.lower().strip(): column for column in header}
    columns = {
        ours: lower[name]
        for ours, names in _COLUMN_NAMES.items()
        for name in names[::-1]
        if name in lower
    }
    guess = Guess("table", path.relative_to(folder).as_posix(), columns=columns)
    absent = [name for name in ("case", "x0", "y0", "x1", "y1") if name not in columns]
    if absent:
        guess.remarks.append(f"Say in 'columns' which column is {', '.join(absent)}.")
    guess.labels = _table_labels(path, columns.get("label"))
    guess.remarks.append("Where a slice may hold several objects of a label: single = false.")
    return guess


def _table_labels(path: Path, column: str | None) -> dict[str, str]:
    """Labels that occur in the first rows of a table."""
    if column is None:
        return {"object": "object"}
    with _open(path) as file:
        rows = itertools.islice(csv.DictReader(file), ROWS_MAX)
        found = sorted({row[column].strip() for row in rows if row[column]})
    return {name: re.sub(r"[^\w.+-]", "_", name) for name in found}


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(path), encoding="utf-8-sig", errors="replace")
    return path.open(encoding="utf-8-sig", errors="replace")


def _images(folder: Path, files: list[Path]) -> str | None:
    """Pattern of images in or beside the folder, if there are any."""
    volumes = [path for path in files if path.name.endswith((".nii", ".nii.gz"))]
    pictures = [path for path in files if path.suffix.lower() in PICTURES]
    if volumes:
        ending = ".nii.gz" if volumes[0].name.endswith(".gz") else ".nii"
        stems = [path.name.removesuffix(ending) for path in volumes]
        where = volumes[0].parent.relative_to(folder)
        stem = _stem_pattern(stems, case_known=False) if len(stems) > 1 else stems[0]
        return (where / f"{stem}{ending}").as_posix()
    if pictures:
        stem = _stem_pattern([path.stem for path in pictures], case_known=False)
        where = pictures[0].parent.relative_to(folder)
        return (where / f"{stem}{pictures[0].suffix}").as_posix()
    return None
