"""A draft of ``[annotations]`` for files that hold the names of labels themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from crowdqc.formats.files import printable
from crowdqc.formats.listing import Contents, Guess, Listing
from crowdqc.formats.name_patterns import document_pattern, image_pattern, of_one_split

NO_BOX = "No box was found: say in [labels] which labels there are."
NO_SLICE = "No slice number was found in the"
SIZE = "# size   = [512, 512]      # rows, columns of every image: fill in"


def guess_documents(
    listing: Listing, contents: Contents, paths: list[Path], *, one_file_per_slice: bool = False
) -> Guess | None:
    """What `paths` seem to be, by their names and what they hold; `None` where there are none.

    Parameters
    ----------
    listing : Listing
        The folder.
    contents : Contents
        What the files hold.
    paths : list of Path
        The files of the format.
    one_file_per_slice : bool
        Whether each of them is a slice or a scan.
    """
    if not paths:
        return None
    pattern = document_pattern(listing.folder, paths, each_a_slice=one_file_per_slice)
    guess = Guess(pattern, paths, says_rater=contents.says_rater)
    guess.labels = {name: label_name(name) for name in sorted(contents.labels)}
    guess.remarks += other_splits(listing, paths)
    if contents.images:
        pattern = image_pattern(list(contents.images))
        if "{slice}" in pattern:
            guess.more.append(f"image  = {quoted(pattern)}")
        else:
            guess.remarks.append(f"{NO_SLICE} names of images: each image is a case.")
    if not guess.labels:
        guess.remarks.append(NO_BOX)
        guess.labels = {"0": "label_0"}
    return guess


def other_splits(listing: Listing, paths: Sequence[Path]) -> list[str]:
    """A remark on files of other splits (train, val), which are left out."""
    names = [path.relative_to(listing.folder) for path in paths]
    left_out = len(names) - len(of_one_split(names))
    remark = (
        f"{left_out} files of other splits (train, val, test) are not read: put all into one "
        "folder, or write a study file for each."
    )
    return [remark] if left_out else []


def label_name(name: str) -> str:
    """`name` as a study file may name a label."""
    return re.sub(r"[^\w.+-]", "_", name)


def texts(values: Iterable[object]) -> set[str]:
    """Those of some values that are texts and not empty."""
    return {value for value in values if isinstance(value, str) and value}


def quoted(text: str) -> str:
    """A TOML string; what JSON escapes is what TOML must."""
    return json.dumps(printable(text), ensure_ascii=False).replace("\x7f", "\\u007f")
