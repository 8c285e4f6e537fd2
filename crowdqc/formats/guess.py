"""A first study file, guessed from a folder of annotations.

Each format looks at names and at what stands in a few files; everything that cannot be known is
left as a comment that says what to fill in.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from crowdqc.config import to_toml, toml_line
from crowdqc.files import Unreadable, holds_dicom
from crowdqc.findings import InputError
from crowdqc.formats.base import Format, formats
from crowdqc.formats.files import printable
from crowdqc.formats.guess_documents import SIZE, gold_remarks
from crowdqc.formats.listing import Guess, Listing
from crowdqc.formats.name_patterns import guess_pattern, is_date
from crowdqc.formats.patterns import Name, split_ending
from crowdqc.text import count

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".jp2", ".pgm")
NAMES_MAX = 50
"""Cases and names of volumes that are held against one another."""
CLOSED = {
    "Unpack it": (".zip", ".tar", ".tgz", ".tar.gz", ".7z", ".rar"),
    "Save its sheet as CSV": (".xlsx", ".xls", ".xlsm", ".ods", ".numbers"),
}
"""What is not looked into, and what to do about it."""
TRIED = 5
"""Files of a folder that are looked into for DICOM: an index or a text may come first."""
VOLUMES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".hdr")


def guess_study(
    folder: Path,
    *,
    suit_window: Callable[[Path], str] = lambda _: "",
    is_mask: Callable[[Path], bool] = lambda _: False,
) -> Guess:
    """What `folder` seems to hold.

    Parameters
    ----------
    folder : Path
    suit_window : callable
        From a volume to the line for its window; "" leaves that as a comment.
    is_mask : callable
        Whether a volume holds labels: asked where several patterns fit as many cases.

    Returns
    -------
    Guess
        A draft of ``[annotations]`` and ``[images]``.

    Raises
    ------
    InputError
        If it is no folder, or holds no annotations of a format that is known.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; give the folder that holds it, and the others.")
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder.")
    listing = Listing(folder)
    guess = _guess(listing)
    if not guess.no_images:
        guess.image_path = _images(listing, guess, is_mask=is_mask)
    if guess.volume is not None:
        guess.window = suit_window(guess.volume) or guess.window
    fields = map(Name(guess.path).fields, map(listing.relative, guess.files))
    guess.remarks += gold_remarks(one["rater"] for one in fields if one and "rater" in one)
    guess.remarks += _dates_remark(guess.path, map(listing.relative, guess.files))
    if any(line.startswith("#") for line in [*guess.more, *_image_lines(guess)]):
        guess.remarks.append(
            "Comments of the study file ask for something to fill in or to answer: do that first."
        )
    return guess


def _guess(listing: Listing) -> Guess:
    """From the format of the highest precedence, and of these from the one with most files."""
    known = formats()
    guesses, errors = _all_guesses(listing)
    if not guesses:
        titles = ", ".join(one.title for one in known.values() if one.sniff)
        raise InputError(
            f"{listing.folder}: holds no annotations that are known: no {titles}. "
            "Export one of these from your tool, or write a table with the columns case, slice, "
            "rater, label, x0, y0, x1, y1 (docs/formats.md); for a format of your own see "
            "docs/howto/own-format.md." + "".join(f" {one}" for one in _closed(listing))
        )
    guesses.sort(key=lambda one: (-known[one.format].precedence, -len(one.files)))
    first, *others = guesses
    first.remarks += [
        f"{count(len(one.files), 'file')} of another format, {known[one.format].title}, will not "
        f"be read, such as {printable(listing.relative(one.files[0]))}."
        for one in others
    ]
    first.remarks += [*errors, *_closed(listing)]
    if others:
        first.remarks.append(
            "A study file reads one format: put each into a folder of its own, and join them as "
            "tables (crowdqc convert --to table; docs/howto/several-tools.md)."
        )
    return first


def _all_guesses(listing: Listing) -> tuple[list[Guess], list[str]]:
    """From each format; and why files of the others cannot be read, an error if all are such."""
    guesses, errors = [], []
    for name, one in formats().items():
        try:
            guess = _sniffed(name, one, listing)
        except InputError as error:
            errors.append(error)
            continue
        guesses += [guess] if guess else []
    if errors and not guesses:
        raise errors[0]
    return guesses, list(map(str, errors))


def _dates_remark(pattern: str, names: Iterable[str]) -> list[str]:
    """That folders named by days are read as parts of cases."""
    levels = [k for k, part in enumerate(pattern.split("/")[:-1]) if part.startswith("{case")]
    dates = (part for name in names for k in levels if is_date(part := name.split("/")[k]))
    return [
        f"The folder {day} is read as a part of the case's name. Where it is the day on which "
        "somebody drew, put * in its place in [annotations] path."
        for day in itertools.islice(dates, 1)
    ]


def _closed(listing: Listing) -> list[str]:
    """What archives and spreadsheets there are, which no format reads."""
    remarks = []
    for remedy, endings in CLOSED.items():
        files = listing.ending(*endings)
        more = f", like {count(len(files) - 1, 'other file')} of its kind" if files[1:] else ""
        remarks += [
            f"{printable(listing.relative(path))} is not looked into{more}. {remedy}, or move it "
            "away if it holds no annotations."
            for path in files[:1]
        ]
    return remarks


def _sniffed(name: str, one: Format, listing: Listing) -> Guess | None:
    guess = one.sniff(listing) if one.sniff else None
    if guess is not None:
        guess.format = name
        guess.needs_size = not one.says_size
    return guess


def render_study(guess: Guess, *, name: str) -> str:
    """Text of a commented study file (TOML).

    Parameters
    ----------
    guess : Guess
        What was found in the folder.
    name : str
        Of the study.
    """
    labels = {
        key: {"name": name, "value": value} | ({"single": False} if key in guess.several else {})
        for value, (key, name) in enumerate(guess.labels.items(), start=1)
    }
    lines = [
        "# A study file of crowdqc. Paths are relative to this file.",
        *[f"# {remark}" for remark in guess.remarks],
        "",
        "[study]",
        f'name = "{name}"',
        'out  = "out"',
        "",
        "[labels]                 # id in the annotation files -> name, value in masks",
        *[toml_line(key, label) for key, label in labels.items()],
        "",
        "[annotations]",
        f'format = "{guess.format}"',
        f"path   = {to_toml(guess.path)}",
        *([toml_line("columns", guess.columns)] if guess.columns else []),
        *([f"image  = {to_toml(guess.image)}"] if guess.image else []),
        *guess.more,
        *_rater(guess),
        "",
        *_image_lines(guess),
    ]
    return "\n".join(lines) + "\n"


def _rater(guess: Guess) -> list[str]:
    if "{rater}" in guess.path or "rater" in guess.columns or guess.says_rater:
        return []
    return [
        'rater  = "all"           # one rater for everything; if each label had its own:',
        '# rater_of = { spleen = "A", liver = "B" }',
    ]


def _image_lines(guess: Guess) -> list[str]:
    if guess.image_path is None:
        return [SIZE] if guess.needs_size else []
    lines = ["[images]", f"path = {to_toml(guess.image_path)}"]
    if guess.volume is not None:
        dicom = guess.volume.is_dir() or guess.volume.suffix.lower() == ".dcm"
        picture = "transpose" if dicom else "rot90"  # DICOM as every viewer shows it
        why = "# how the annotated picture was made from volume[:, :, k]"
        lines += [f'picture = "{picture}"         {why}', guess.window]
    return lines


def _images(listing: Listing, guess: Guess, *, is_mask: Callable[[Path], bool]) -> str | None:
    """Pattern of images in or beside the folder that has cases of the annotations."""
    files = [listing.relative(path) for path in guess.files]
    known = _cases(guess.image or "{case}", guess.images) or _cases(guess.path, files)
    pictures = listing.ending(*PICTURES)
    volumes = listing.ending(*VOLUMES) or _series(listing, known)
    names = [listing.relative(path) for path in volumes or pictures]
    patterns = [guess_pattern(names), guess_pattern(names, slices=False)] if names else []
    patterns = [one for one in patterns if not (volumes and "{slice}" in one)]
    patterns += _named_after(known, names[:NAMES_MAX]) if volumes else []
    fits = {one: len(known & _cases(one, names)) for one in sorted(patterns)}
    most = max(fits.values(), default=0)
    equal = [one for one in patterns if fits.get(one) == most]
    if volumes and len(equal) > 1:
        equal.sort(key=lambda one: is_mask(_first(one, names, volumes)))
    best = equal[0] if equal else None
    if best and not fits[best] and known:
        guess.remarks.append(f"No case is named like the images in {best}: give [images] path.")
        return None
    if volumes:
        guess.volume = _first(best or "", names, volumes)
        guess.remarks += _left_out(best, names)
    return f"{best}/" if best and guess.volume and guess.volume.is_dir() else best


def _first(pattern: str, names: Sequence[str], volumes: Sequence[Path]) -> Path:
    """The first of some volumes that a pattern reads; of none, the first of all."""
    fits = Name(pattern).fields
    pairs = zip(names, volumes, strict=True)
    return next((path for name, path in pairs if pattern and fits(name) is not None), volumes[0])


def _left_out(pattern: str | None, names: Sequence[str]) -> list[str]:
    """A remark on volumes that a pattern does not read."""
    left = [name for name in names if pattern and Name(pattern).fields(name) is None]
    if not left:
        return []
    remark = (
        f"{count(len(left), 'volume')} not in [images] path, such as {printable(left[0])}: where "
        "these are masks of experts, give [truth] path."
    )
    return [remark]


def _series(listing: Listing, cases: set[str]) -> list[Path]:
    """Folders of DICOM series; files, where each in the only folder is named after a case."""
    dicom = listing.ending(".dcm", ".dicom")
    folders = {path.parent for path in dicom}
    if len(folders) == 1 and len(cases) > 1:
        names = [path.name for path in dicom]
        if any(len(cases & _cases(one, names)) > 1 for one in _named_after(cases, names)):
            return dicom
    tried: Counter[Path] = Counter()
    for path in listing.files:  # slices as an archive hands them out have no ending, or any
        tried[path.parent] += 1
        if tried[path.parent] <= TRIED and path.parent not in folders and _is_slice(path):
            folders.add(path.parent)
    return sorted(folders)


def _is_slice(path: Path) -> bool:
    try:
        return not split_ending(path.name)[1] and holds_dicom(path)
    except (OSError, Unreadable):
        return False


def _named_after(cases: Iterable[str], names: Sequence[str]) -> list[str]:
    """Patterns of names in which that of a case stands, which no digit or letter goes on."""
    found = {}
    for case, name in itertools.product(sorted(cases)[:NAMES_MAX], names):
        before, after = (r"\d" if end.isdigit() else "[a-zA-Z]" for end in (case[0], case[-1]))
        pattern = re.sub(f"(?<!{before}){re.escape(case)}(?!{after})", "{case}", name)
        found[pattern] = pattern != name
    return sorted(pattern for pattern, changed in found.items() if changed)


def _cases(pattern: str, names: Iterable[str]) -> set[str]:
    """What a pattern says that the cases of some names are called."""
    fields = map(Name(pattern).fields, names)
    return {one["case"] for one in fields if one and "case" in one}
