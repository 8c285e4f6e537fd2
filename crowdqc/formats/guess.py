"""A first study file, guessed from a folder of annotations.

Each format looks at names and at what stands in a few files; everything that cannot be known is
left as a comment that says what to fill in.
"""

from __future__ import annotations

import re
from pathlib import Path

from crowdqc.findings import InputError
from crowdqc.formats.base import Format, formats
from crowdqc.formats.guess_documents import SIZE, quoted
from crowdqc.formats.listing import Guess, Listing
from crowdqc.formats.name_patterns import stem_pattern

PICTURES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}


def guess_study(folder: Path) -> Guess:
    """What `folder` seems to hold.

    Raises
    ------
    InputError
        If it is no folder, or holds no annotations of a format that is known.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder.")
    listing = Listing(folder)
    guess = _guess(listing)
    if not guess.no_images:
        guess.image_path = _images(listing)
    if any(line.startswith("#") for line in [*guess.more, *_image_lines(guess)]):
        guess.remarks.append("Something stands as a comment that says 'fill in': do so first.")
    return guess


def _guess(listing: Listing) -> Guess:
    """From the format of the highest precedence, and of these from the one with most files."""
    known = formats()
    guesses: dict[int, list[Guess]] = {}
    for precedence in sorted({one.precedence for one in known.values()}, reverse=True):
        for name, one in known.items():
            if one.precedence == precedence and (guess := _sniffed(name, one, listing)):
                guesses.setdefault(precedence, []).append(guess)
        if precedence in guesses:
            return max(guesses[precedence], key=lambda guess: len(guess.files))
    titles = ", ".join(one.title for one in known.values() if one.sniff)
    raise InputError(f"{listing.folder}: holds no annotations that are known: no {titles}.")


def _sniffed(name: str, one: Format, listing: Listing) -> Guess | None:
    guess = one.sniff(listing) if one.sniff else None
    if guess is not None:
        guess.format = name
        guess.needs_size = not one.says_size
    return guess


def render_study(guess: Guess, *, name: str) -> str:
    """Text of a commented study file (TOML)."""
    labels = "\n".join(
        f"{_key(key)} = {{ name = {quoted(label)}, value = {value}"
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
        f"path   = {quoted(guess.path)}",
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
    inner = ", ".join(f"{name} = {quoted(column)}" for name, column in guess.columns.items())
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
        return [SIZE] if guess.needs_size else []
    lines = ["[images]", f"path = {quoted(guess.image_path)}"]
    if guess.image_path.endswith((".nii", ".nii.gz")):
        lines += [
            'picture = "rot90"         # how the annotated picture was made from volume[:, :, k]',
            "window  = { level = 40, width = 400 }   # CT, HU; MR: { percentiles = [0.5, 99.5] }",
        ]
    return lines


def _key(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else quoted(text)


def _images(listing: Listing) -> str | None:
    """Pattern of images in or beside the folder, if there are any."""
    volumes = listing.ending(".nii", ".nii.gz")
    pictures = [path for path in listing.files if path.suffix.lower() in PICTURES]
    if volumes:
        ending = ".nii.gz" if volumes[0].name.endswith(".gz") else ".nii"
        stems = [path.name.removesuffix(ending) for path in volumes]
        where = volumes[0].parent.relative_to(listing.folder)
        stem = stem_pattern(stems, case_known=False) if len(stems) > 1 else stems[0]
        return (where / f"{stem}{ending}").as_posix()
    if pictures:
        stem = stem_pattern([path.stem for path in pictures], case_known=False)
        where = pictures[0].parent.relative_to(listing.folder)
        return (where / f"{stem}{pictures[0].suffix}").as_posix()
    return None
