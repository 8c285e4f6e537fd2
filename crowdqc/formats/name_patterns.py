"""Patterns guessed from the names of files: the half of `guess` that looks at names only.

The last number of a name is the slice, what varies before it is the case, and a folder that
varies is a rater where it holds the same names as the others, else a case.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

SPLITS = {"train", "val", "valid", "test", "training", "validation", "testing"}
"""Folders of data sets for training, which are neither cases nor raters."""

_SLICE_WORD = re.compile(r"(?:^|[^a-z])(?:slice|slc|frame|plane|z)[-_. ]?$", re.IGNORECASE)
"""What stands before the number of a slice."""
_SPLIT_WORD = re.compile(r"(?:train|val|test)(?:ing|id|idation)?\d*$", re.IGNORECASE)


def document_pattern(folder: Path, paths: list[Path], *, each_a_slice: bool) -> str:
    """Pattern of the files: each a slice or a scan, or each a rater's."""
    if each_a_slice:
        return file_pattern(folder, paths)
    names = [path.parts for path in of_one_split([one.relative_to(folder) for one in paths])]
    depth, _ = Counter(map(len, names)).most_common(1)[0]
    names = [name for name in names if len(name) == depth]
    parts = list(names[0])
    varying = [i for i in range(depth) if len({name[i] for name in names}) > 1]
    if varying:
        ending = paths[0].suffix if varying[0] == depth - 1 else ""
        parts[varying[0]] = "{rater}" + ending
    return "/".join(parts)


def of_one_split(names: Sequence[Path]) -> list[Path]:
    """Of files of several splits (train, val) those of the fullest: no pattern stands for all.

    Examples
    --------
    >>> [path.name for path in of_one_split([Path("train/1"), Path("val/2"), Path("train/3")])]
    ['1', '3']
    >>> [path.name for path in of_one_split([Path("x_train2017.json"), Path("x_val2017.json")])]
    ['x_train2017.json']
    """
    for level in range(min(len(name.parts) for name in names) - 1):
        folders = Counter(name.parts[level] for name in names)
        if len(folders) > 1 and SPLITS.issuperset(folders):
            fullest, _ = folders.most_common(1)[0]
            return [name for name in names if name.parts[level] == fullest]
    bare = {_SPLIT_WORD.sub("", name.stem) for name in names}
    splits = names[0].suffix == ".json" and len(bare) == 1 < len({name.stem for name in names})
    return list(names[:1] if splits else names)


def file_pattern(folder: Path, texts: list[Path]) -> str:
    """Pattern of files with one slice each."""
    names = [path.relative_to(folder) for path in texts]
    depth, _ = Counter(len(name.parts) for name in names).most_common(1)[0]
    names = of_one_split([name for name in names if len(name.parts) == depth])
    stems = Counter(name.stem for name in names)
    inner = list(names[0].parts[:-1])
    varying = [i for i in range(depth - 1) if len({name.parts[i] for name in names}) > 1]
    if varying:
        several = max(stems.values()) > 1
        inner[varying[0]] = "{rater}" if several else "{case}"
        if several and len(varying) > 1:
            inner[varying[1]] = "{case}"
    stem = stem_pattern(list(stems), case_known="{case}" in inner)
    return "/".join([*inner, f"{stem}{names[0].suffix}"])


def stem_pattern(stems: list[str], *, case_known: bool) -> str:
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
        pattern[first] = "{slice}" if _SLICE_WORD.search(pattern[first - 1]) else "{case}"
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


def image_pattern(names: Sequence[str]) -> str:
    """Pattern of the names of images in files of many slices, with the folder if that is the case.

    Examples
    --------
    >>> image_pattern(["ct/img1-slice1.png", "ct/img2-slice2.png"])
    'img{case}-slice{slice}.png'
    >>> image_pattern(["p1/001.png", "p1/002.png", "p2/001.png"])
    '{case}/{slice}.png'
    >>> image_pattern(["p1/slice_001.png", "p1/slice_002.png"])
    '{case}/slice_{slice}.png'
    """
    paths = [Path(name.replace("\\", "/")) for name in names]
    stems = [path.stem for path in paths]
    folders = {path.parent.name for path in paths} - SPLITS
    repeated = max(Counter(stems).values()) > 1
    lone = stem_pattern(stems, case_known=False)
    if "" not in folders and folders and (repeated or "{case}" not in lone):
        return "{case}/" + stem_pattern(stems, case_known=True) + paths[0].suffix
    return lone + paths[0].suffix
