"""Patterns guessed from the names of files and images.

The last number of a name is the slice, what varies before it is the case. Of the folders that
vary, one names raters where it holds the same names as the others, or names that people have; the
others are parts of the case, unless the rest says the same.
"""

from __future__ import annotations

import itertools
import re
import string
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from crowdqc.formats.patterns import Name, split_ending

SHARED = 0.3
"""Share of the names inside that folders of raters have in common, at least."""

_SPLIT = re.compile(r"(?:train|val|test)(?:ing|id|idation)?\d*", re.IGNORECASE)
"""Parts of data sets for training: no raters, and cases only where names recur in several."""
_DATE = re.compile(r"(19|20)\d\d([-_.]?)(0[1-9]|1[0-2])\2([0-2]\d|3[01])")
"""Days on which people drew, or were scanned: cases only where names recur on several."""
_SLICE_WORD = re.compile(r"(?:^|[^a-z])(?:slice|slc|sl|frame|plane|layer|z)[-_. ]?$", re.IGNORECASE)
"""What stands before the number of a slice."""
_PEOPLE = re.compile(
    r"(?:rater|reader|annot\w*|ann|user|label+er|radiologist|rad|observer|obs|expert|doctor|dr|"
    r"student|worker|person|technician)[-_. ]?\w{0,3}|r\d+",
    re.IGNORECASE,
)
_THINGS = re.compile(
    r"(?:pt?|pat|patient|participant|case|subj?|subject|im|img|image|scan|vol|volume|study|series|"
    r"ser|exam|visit|ct|mri?|pet|us|site|cent(?:er|re)|hospital|clinic|phase|batch|part|job|task|"
    r"chunk|export|page)?[-_. ]?\d+(?:[-_.]\d+)*[a-z]?|art|arterial|ven|venous|portal|pv|delayed|"
    r"late|early|nc|native|pre|post|t1|t2|flair|adc|dwi|axi?a?l?|cor|coronal|sag|sagittal",
    re.IGNORECASE,
)
"""Names of cases, of sites and phases, and of the parts of an export: never those of people."""
_PLACES = re.compile("site|cent(?:er|re)|hospital|clinic|batch|part|job|task", re.IGNORECASE)
"""What is left out of a case's name first, where the rest determines it."""
_NO_CASE = {"images", "imgs", "data", "upload", "files", "frames", "slices", "png", "jpg"}
_UID = re.compile(r"\d+(?:\.\d+){4,}")
_SEPARATOR = re.compile(r"(?:[-_. ]?(?:slice|frame)|[-_. ][sz])?[-_. ]?$")
"""What stands before the number of a slice."""
_UPLOAD = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){0,3}(?:-[0-9a-f]{12})?[-_](?=.)")
"""What tools put before the name of a file that was uploaded: part of a random UUID, or all."""
_ROBOFLOW = re.compile(r"_(?:png|jpe?g|bmp|tiff?|webp)\.rf\.[0-9a-f]{6,}$")
"""What Roboflow puts behind it."""


def guess_pattern(
    names: Sequence[str],
    *,
    slices: bool = True,
    raters: bool = False,
    contents: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """Pattern that reads as many as it can of some names.

    Parameters
    ----------
    names : sequence of str
        Paths with ``/``, of files or of images.
    slices : bool
        Whether each is a slice; else it is a scan, or holds images.
    raters : bool
        Whether a part of them may name a rater.
    contents : mapping of str to sequence of str, optional
        The images that each file holds.

    Returns
    -------
    str
        The pattern, with the ending that all have, or else ``.*``.

    Examples
    --------
    >>> guess_pattern(["a/P1/art/1.txt", "a/P1/ven/1.txt", "b/P1/art/1.txt"], raters=True)
    '{rater}/P1/{case}/{slice}.txt'
    >>> guess_pattern(["a/1.xml", "b/1.xml"], slices=False)
    '{case}/1.xml'
    """
    rows = [row for name in names if (row := tuple(filter(None, name.split("/"))))]
    if not rows:
        return "{case}"
    depth = Counter(map(len, rows)).most_common(1)[0][0]
    rows = [row for row in rows if len(row) == depth]
    stems, endings = zip(*(split_ending(row[-1]) for row in rows), strict=True)
    levels = [list(column) for column in zip(*(row[:-1] for row in rows), strict=True)]
    marks = ["/"] * len(levels)
    if not slices:
        tokens = _tokens(stems)
        levels += [list(column) for column in zip(*(row[::2] for row in tokens), strict=True)]
        marks += [*tokens[0][1::2], ""]
    inner = [contents.get("/".join(row), ()) for row in rows] if contents else [(s,) for s in stems]
    inside = [name for one in inner for name in one]
    own = image_pattern(inside) if contents else stem_pattern(stems)
    own_case = "{case" in own and (bool(contents) or "{slice}" in own)
    who = _rater_level(levels, inner, own_case=own_case) if raters else None
    cases = [k for k, one in enumerate(levels) if k != who and _is_case(one, lone=not own_case)]
    cases = [] if contents and own_case else cases
    alone = [
        k for k in cases if _is_split(levels[k]) or (own_case and all(map(is_date, levels[k])))
    ]
    cases = [k for k in cases if k not in alone or _shared(levels, inner, k)]
    stem = stem_pattern(stems, case_known=bool(cases)) if slices else ""
    parts = {k: levels[k] for k in cases} | _inner_case(stem, stems, len(levels))
    kept = _needed(parts)
    fill = {k: f"{{case{n}}}" if len(kept) > 1 else "{case}" for n, k in enumerate(kept, start=1)}
    fill |= {} if who is None else {who: "{rater}"}
    text = "".join(
        (fill.get(k) or (_literal(one[0]) if len(set(one)) == 1 else _varying(one))) + mark
        for k, (one, mark) in enumerate(zip(levels, marks, strict=True))
    )
    text += stem.replace("{case}", fill.get(len(levels), "*"))
    return text + (endings[0] if len(set(endings)) == 1 else ".*")


def image_pattern(names: Sequence[str]) -> str:
    """Pattern of the names of images, without folders that say nothing.

    Examples
    --------
    >>> image_pattern(["ct/img1-slice1.png", "ct/img2-slice2.png"])
    'img{case}-slice{slice}.png'
    >>> image_pattern(["p1/slice_001.png", "p1/slice_002.jpg"])
    '{case}/slice_{slice}'
    """
    names = [name.replace("\\", "/") for name in names if name.strip("/\\")] or ["_"]
    depth = min(name.count("/") for name in names)
    names = [name.split("/", name.count("/") - depth)[-1] for name in names]
    *folders, last = guess_pattern(names).split("/")
    first = next((k for k, part in enumerate(folders) if "{" in part), len(folders))
    return "/".join([*folders[first:], last.removesuffix(".*")])


def unread(pattern: str, names: Sequence[str], *, files: bool = False) -> list[str]:
    """Names that a pattern does not read; that of `files` says every folder.

    Parameters
    ----------
    pattern : str
        With placeholders, as in the study file.
    names : sequence of str
        Relative paths with ``/``.
    files : bool
        If true, a name must have as many folders as the pattern.
    """
    matcher, depth = Name(pattern), pattern.count("/")
    return [
        name
        for name in names
        if matcher.fields(name) is None or (files and name.count("/") != depth)
    ]


def stem_pattern(stems: Sequence[str], *, case_known: bool = False) -> str:
    """Pattern of names without folder and ending.

    Parameters
    ----------
    stems : sequence of str
        Names of all images; not empty.
    case_known : bool
        Whether a folder names the case, so that all fields but the last need not.

    Examples
    --------
    >>> stem_pattern(["p1_art_01", "p1_ven_01", "p2_art_02"])
    'p{case}_{slice}'
    >>> stem_pattern(["821822e5-p1_001", "0f6142fb-p1_002"])
    '*-p{case}_{slice}'
    """
    prefixes = [match.group() for match in map(_UPLOAD.match, stems) if match]
    random = sum(bool(re.search("[a-f]", prefix)) for prefix in prefixes)
    if len(prefixes) == len(stems) < 2 * random:
        bare = [_UPLOAD.sub("", stem, count=1) for stem in stems]
        return "*" + prefixes[0][-1] + stem_pattern(bare, case_known=case_known)
    if all(map(_ROBOFLOW.search, stems)):
        bare = [_ROBOFLOW.sub("", stem) for stem in stems]
        return stem_pattern(bare, case_known=case_known) + "_*.rf.*"
    if all(map(_UID.fullmatch, stems)):
        return "{case}"
    tokens = [re.split(r"(\d+)", stem) for stem in stems]
    alike = len({len(row) for row in tokens}) == 1
    return (_template(tokens, case_known=case_known) if alike else None) or _loose(stems)


def _template(tokens: list[list[str]], *, case_known: bool) -> str | None:
    """Pattern of names that are the same texts and numbers in turn, where it has a slice."""
    columns = [list(column) for column in zip(*tokens, strict=True)]
    varying = [k for k, column in enumerate(columns) if len(set(column)) > 1]
    at = _slice_place(columns, varying, case_known=case_known)
    if at is None:
        rest = _literal("".join(tokens[0][2:]))
        return _literal(columns[0][0]) + "{case}" + rest if varying == [1] else None
    before = [k for k in varying if k < at]
    if not before and not case_known:
        before = list(range(1, at, 2))[:1]  # so far there is one case
    pieces = [_literal(column[0]) if k not in varying else "*" for k, column in enumerate(columns)]
    pieces[at] = "{slice}"
    if before:
        first, last = before[0], before[-1]
        start, end = _common_prefix(columns[first]), _common_suffix(columns[last])
        start, end = start if first % 2 == 0 else "", end if last % 2 == 0 else ""
        pieces[first : last + 1] = [_literal(start), "{case}", _literal(end)]
    pattern = "".join(pieces)
    return None if "{case}{slice}" in pattern else pattern


def _slice_place(columns: list[list[str]], varying: list[int], *, case_known: bool) -> int | None:
    """Which of the numbers is the slice; `None` where that is not clear."""
    numbers = range(1, len(columns), 2)
    padded = [
        k
        for k in numbers[-1:]
        if varying and k not in varying and re.fullmatch(r"0\d+|\d{3,}", columns[k][0])
    ]
    worded = [k for k in numbers if all(map(_SLICE_WORD.search, columns[k - 1]))]
    changing = [k for k in numbers if k in varying]
    if worded or padded:
        return (worded or padded)[-1]
    if changing:
        lone = len(varying) == 1 and changing[-1] == 1 and not case_known
        return None if lone else changing[-1]
    return numbers[-1] if numbers and (case_known or varying) else None


def rater_in_stems(stems: Sequence[str]) -> tuple[str, list[str], bool] | None:
    """Pattern of names whose first or last word may be a rater, the words, and whether it is one.

    Such a word stands in turn beside the same rest, and is no number.

    Examples
    --------
    >>> rater_in_stems(["p1_001_ann", "p1_001_bob", "p1_002_ann", "p1_002_bob"])
    ('p{case}_{slice}_{rater}', ['ann', 'bob'], False)
    """
    rows = _tokens(stems)
    for place in (-1, 0) if len(rows[0]) > 1 else ():
        who = [row[place] for row in rows]
        rest = ["".join(row[:-2] if place else row[2:]) for row in rows]
        twice = sum(n > 1 for n in Counter(rest).values()) / len(set(rest))
        if all(_SLICE_WORD.search(word.rstrip(string.digits)) for word in who):
            continue  # slice0001, slice0002
        if len(set(who)) > 1 and twice >= 0.5 and _kind(who) >= 0 and not "".join(who).isdecimal():
            mark, inner = rows[0][1 if place == 0 else -2], stem_pattern(rest)
            text = f"{inner}{mark}{{rater}}" if place else f"{{rater}}{mark}{inner}"
            return text, sorted(set(who)), _kind(who) > 0
    return None


def _loose(stems: Sequence[str]) -> str:
    """Pattern of names of different make: a number at the end of most of them is the slice."""
    heads = [stem.rstrip(string.digits) for stem in stems]  # a regex would try every digit
    numbered = [head for head, stem in zip(heads, stems, strict=True) if head != stem]
    found = [match.group() for match in map(_SEPARATOR.search, numbered) if match]
    if 2 * len(found) <= len(stems):
        return "{case}"
    mark, _ = Counter(found).most_common(1)[0]
    return "{case}" + _literal(mark) + "{slice}" if mark else "{case}"


def _rater_level(
    levels: list[list[str]], inner: Sequence[Sequence[str]], *, own_case: bool
) -> int | None:
    """The level of folders (or parts of a name) that says who drew; `None` where none does."""
    varying = [k for k, values in enumerate(levels) if len(set(values)) > 1]
    varying = [k for k in varying if not _is_split(levels[k])]
    found = []
    for k in varying:
        kind, shared = _kind(levels[k]), _shared(levels, inner, k)
        lone = kind < 0 and own_case and shared > SHARED and len(varying) == 1
        if kind > 0 or lone or (kind == 0 and (shared > 0 or own_case)):
            found.append((kind, shared >= SHARED, -k))
    return -max(found)[2] if found else None


def _shared(levels: list[list[str]], inner: Sequence[Sequence[str]], k: int) -> float:
    """Share of the names inside that lie at several values of a level."""
    seen: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
    for row, names in zip(zip(*levels, strict=True), inner, strict=True):
        for name in names:
            seen[(*row[:k], *row[k + 1 :], name)].add(row[k])
    return sum(len(values) > 1 for values in seen.values()) / max(len(seen), 1)


def _kind(values: Sequence[str]) -> int:
    """1 where most values look like names of people, -1 where they look like names of objects."""
    unique = set(values)
    people = sum(bool(_PEOPLE.fullmatch(value)) for value in unique)
    things = sum(bool(_THINGS.fullmatch(value)) for value in unique)
    return (2 * people > len(unique)) - (2 * things > len(unique) and people <= things)


def _is_case(values: Sequence[str], *, lone: bool) -> bool:
    """Whether a level is part of the case: one that varies, or where nothing else says it."""
    unique = set(values)
    return len(unique) > 1 or (lone and bool(unique - _NO_CASE) and _kind(values) < 0)


def _is_split(values: Sequence[str]) -> bool:
    """Whether a level is that of the splits of a data set (train, val, test)."""
    return all(map(_SPLIT.fullmatch, set(values)))


def is_date(name: str) -> bool:
    """Whether the name of a folder is a day.

    Examples
    --------
    >>> [is_date(name) for name in ("2024-01-05", "20240105", "2024-13-05", "p20240105")]
    [True, True, False, False]
    """
    return _DATE.fullmatch(name) is not None


def _inner_case(stem: str, stems: Sequence[str], k: int) -> dict[int, list[str]]:
    """What the stems say of the case, as the part `k`."""
    if "{case}" not in stem:
        return {}
    fields = [Name(stem).fields(one) or {} for one in stems]
    return {k: [field.get("case", "") for field in fields]}


def _needed(parts: dict[int, list[str]]) -> list[int]:
    """Parts of the case, without those that the others determine, from the last one on."""
    kept = sorted(parts)
    for k in sorted(kept, key=lambda k: (not any(map(_PLACES.match, parts[k])), -k)):
        others = list(zip(*(parts[j] for j in kept if j != k), strict=True))
        if others and len(set(others)) == len(set(zip(others, parts[k], strict=True))):
            kept.remove(k)
    return kept


def _tokens(stems: Sequence[str]) -> list[list[str]]:
    """Parts of names and what stands between them, where all have as many; else the names."""
    tokens = [re.split(r"([-_. ]+)", stem) for stem in stems]
    alike = len({tuple(row[1::2]) for row in tokens}) == 1
    return tokens if alike else [[stem] for stem in stems]


def _varying(values: Sequence[str]) -> str:
    """Anything, after the letters that all have in common."""
    return _literal(re.sub(r"[\W\d_]*$", "", _common_prefix(values))) + "*"


def _common_prefix(values: Sequence[str]) -> str:
    alike = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*values, strict=False))
    return "".join(letters[0] for letters in alike)


def _common_suffix(values: Sequence[str]) -> str:
    return _common_prefix([value[::-1] for value in values])[::-1]


def _literal(text: str) -> str:
    """`text` as a pattern says it: what means something there may be anything."""
    return re.sub(r"[{}]", "*", text)
