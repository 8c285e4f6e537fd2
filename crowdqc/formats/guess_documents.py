"""A draft of ``[annotations]`` for files that hold the names of labels themselves."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from crowdqc.formats.files import parse_number, printable
from crowdqc.formats.labels import plain_name
from crowdqc.formats.listing import Contents, Guess, Listing
from crowdqc.formats.name_patterns import (
    SHARED,
    guess_pattern,
    image_pattern,
    rater_in_stems,
    unread,
)
from crowdqc.formats.patterns import split_ending

PEOPLE_MAX = 100
"""Most different names in a column that may say who drew."""
NO_BOX = "No box was found: say in [labels] which labels there are."
NO_SLICE = "No slice number was found in the"
SIZE = "# size   = [512, 512]      # rows, columns of every image: fill in"


def guess_documents(
    listing: Listing,
    contents: Contents,
    files: Mapping[Path, Sequence[str]],
    *,
    one_file_per_slice: bool = False,
) -> Guess | None:
    """What some files seem to be, by their names and what they hold.

    Parameters
    ----------
    listing : Listing
        The folder.
    contents : Contents
        What the files hold together.
    files : mapping of Path to sequence of str
        The files of the format, and the images in each.
    one_file_per_slice : bool
        Whether each of them is a slice.

    Returns
    -------
    Guess or None
        `None` where there are no files.
    """
    if not files:
        return None
    guess = Guess("", list(files), says_rater=contents.says_rater)
    inner = {listing.relative(path): names for path, names in files.items()}
    inner = inner if contents.images else {}
    guess_path(guess, listing, slices=one_file_per_slice, contents=inner)
    guess.labels, remarks = one_name_each({name: name for name in sorted(contents.labels)})
    guess.remarks += remarks
    if contents.images:
        guess_image(guess, list(contents.images))
    if not guess.labels:
        guess.remarks.append(NO_BOX)
        guess.labels = {"0": "label_0"}
    return guess


def guess_path(
    guess: Guess,
    listing: Listing,
    *,
    slices: bool,
    contents: Mapping[str, Sequence[str]] | None = None,
    raters: bool = True,
) -> None:
    """Find the pattern of the files of a guess, and say which files it leaves.

    Parameters
    ----------
    guess : Guess
        Its files; takes the pattern.
    listing : Listing
        The folder.
    slices : bool
        Whether each file is a slice.
    contents : mapping of str to sequence of str, optional
        The images that each file holds.
    raters : bool
        Whether files or folders may be named after raters.
    """
    names = list(map(listing.relative, guess.files))
    raters = raters and (slices or bool(contents))
    guess.path = guess_pattern(names, slices=slices, raters=raters, contents=contents)
    if slices and raters and "{rater}" not in guess.path:
        _look_for_raters(guess, names)
    guess.remarks += _left(guess.path, names, what="files", key="path")
    if slices and "{slice}" not in guess.path:
        guess.remarks.append(f"{NO_SLICE} file names: each file is a case.")


def _look_for_raters(guess: Guess, names: Sequence[str]) -> None:
    """Take a word in the names of files for the rater, or ask whether it is one."""
    found = rater_in_stems([split_ending(name.rpartition("/")[2])[0] for name in names])
    if found is None:
        return
    stem, people, sure = found
    folder, slash, name = guess.path.rpartition("/")
    last = stem + (split_ending(name)[1] or ".*")
    if sure:
        guess.path = folder + slash + last
    else:
        shown = printable(", ".join(people[:3]))
        guess.more.append(f"# Are {shown} raters? Then end 'path' with {last}, and drop 'rater'.")


def guess_image(guess: Guess, names: list[str]) -> None:
    """Find the pattern of the names of images, and say which it leaves.

    Parameters
    ----------
    guess : Guess
        Gets `images`, a pattern where most names follow one, and remarks.
    names : list of str
        Of images, as in the annotation files.
    """
    guess.images = names
    pattern = image_pattern(names)
    poor = 2 * len(unread(pattern, names)) > len(names)
    if poor or ("{slice}" not in pattern and "*" not in pattern):
        guess.remarks.append(f"{NO_SLICE} names of images: each image is a case.")
        return
    guess.image = pattern
    guess.remarks += _left(pattern, names, what="images", key="image")


def _left(pattern: str, names: list[str], *, what: str, key: str) -> list[str]:
    """A remark on what a pattern does not read of what it was made from."""
    left = unread(pattern, names, files=key == "path")
    remark = (
        f"{len(left)} of {len(names)} {what} do not fit '{key}' and will not be read, such as "
        f"{printable(left[0]) if left else ''}."
    )
    return [remark] if left else []


def one_name_each(labels: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Labels as a study file may name them, one for all names that are spelled alike.

    Parameters
    ----------
    labels : mapping of str to str
        Id -> name as the files say it.

    Returns
    -------
    labels : dict
        Id -> name of the first of those that are spelled alike.
    remarks : list of str
        What was taken for one.
    """
    groups: dict[str, list[str]] = {}
    for key, name in sorted(labels.items(), key=lambda item: item[1] != item[1].strip().lower()):
        groups.setdefault(plain_name(name), []).append(key)
    kept = {keys[0] for keys in groups.values()}
    remarks = [
        f"{', '.join(repr(labels[key]) for key in sorted(keys))} are taken for one label."
        for keys in groups.values()
        if len(keys) > 1
    ]
    return {key: _label_name(name) for key, name in labels.items() if key in kept}, remarks


def ask_rater(
    records: Sequence[Mapping[str, object]], places: Sequence[object], *, labels: Sequence[object]
) -> list[str]:
    """A comment that asks whether a column or key says who drew, where one looks so.

    It has few values, several of them on one image, and is not another name of the label.
    `places` and `labels` are the image and the label of each of the `records`, which hold only
    what else is known of boxes.

    Parameters
    ----------
    records : sequence of mapping
        What is known of each of N boxes, beside the two below.
    places : sequence
        The image of each box, length N.
    labels : sequence
        The label of each box, length N.

    Returns
    -------
    list of str
        One comment of TOML, or none.
    """
    for name in dict.fromkeys(key for record in records for key in record):
        values = [str(record.get(name, "")).strip() for record in records]
        on_image, of_label = defaultdict(set), defaultdict(set)
        for place, label, value in zip(places, labels, values, strict=True):
            on_image[place].add(value)
            of_label[label].add(value)
        shared = sum(len(found) > 1 for found in on_image.values()) / max(len(on_image), 1)
        free = len(of_label) == 1 or any(len(found) > 1 for found in of_label.values())
        fractions = any("." in value and parse_number(value) is not None for value in values)
        if 1 < len(set(values)) <= PEOPLE_MAX and shared >= SHARED and free and not fractions:
            return [f"# Does '{printable(name)[:60]}' say who drew? Then name it as the rater."]
    return []


def gold_remarks(raters: Iterable[str]) -> list[str]:
    """A remark on raters whose names are those of a gold standard.

    Parameters
    ----------
    raters : iterable of str
        Names, as columns or folders say them.
    """
    names = sorted(set(filter(_GOLD.fullmatch, raters)))
    return [
        f"'{printable(name)}' seems to be a gold standard and no rater of the crowd: then add "
        f"a section [truth] with rater = '{printable(name)}'."
        for name in names[:1]
    ]


_GOLD = re.compile(
    r"(?:gt|gold|ground[-_ ]?truth|truth|reference)(?:[-_ ](?:standard|labels?|boxes))?",
    re.IGNORECASE,
)


def _label_name(name: str) -> str:
    """`name` as a study file may name a label."""
    return re.sub(r"^[^\w+-]+|[^\w.+-]", "_", name.strip())[:100] or "_"
