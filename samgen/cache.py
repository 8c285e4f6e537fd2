"""Embeddings of pictures on disk, each with the signature of what it was made from.

Encoding a picture takes SAM a hundred times as long as drawing a mask, and is the same for every
annotator, label, fusion method and number of prompts. Files are named after their signature, so
another checkpoint or another window makes other files; and each carries its signature inside,
so that a file that was renamed, damaged or written by another version is refused, not used.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crowdqc.files import atomic
from crowdqc.findings import InputError

VERSION = 1
"""Version of the embeddings: raised when the same input gives other numbers."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Embedding:
    """A picture as SAM's image encoder sees it. Nobody changes it.

    Parameters
    ----------
    features : ndarray of float32, shape (C, h, w)
        What the encoder returned.
    picture_size : tuple of int
        Rows and columns of the picture.
    input_size : tuple of int
        Rows and columns that the picture takes up in the encoder's input; the rest is padding.
    """

    features: NDArray[np.float32]
    picture_size: tuple[int, int]
    input_size: tuple[int, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Signature:
    """All that an embedding depends on.

    Parameters
    ----------
    pixels : str
        Hash of the picture, from `hash_pixels`.
    preprocessing : str
        Name of the way from the picture to the encoder's input.
    checkpoint : str
        Hash of the weights.
    arithmetic : str
        Which encoder ran, and in which precision.
    version : int
        Version of the code that made it.
    """

    pixels: str
    preprocessing: str
    checkpoint: str
    arithmetic: str
    version: int = VERSION

    def to_json(self) -> str:
        """One line of JSON, fields in a fixed order."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)


def hash_pixels(picture: NDArray[np.uint8]) -> str:
    """SHA-256 of a picture's size and pixels.

    Examples
    --------
    >>> wide, tall = np.zeros((1, 2), np.uint8), np.zeros((2, 1), np.uint8)
    >>> hash_pixels(wide) == hash_pixels(tall)
    False
    """
    digest = hashlib.sha256(repr((picture.dtype.str, picture.shape)).encode())
    digest.update(np.ascontiguousarray(picture).tobytes())
    return digest.hexdigest()


class EmbeddingCache:
    """A folder of embeddings: 4.2 MB for each picture of SAM's own size.

    Parameters
    ----------
    folder : Path
        Made when something is first written. May be removed at any time, and shared by studies
        and by processes: a file appears whole or not at all.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def path(self, signature: Signature) -> Path:
        """Where the embedding of this signature lies."""
        key = hashlib.sha256(signature.to_json().encode()).hexdigest()
        return self.folder / f"{key[:32]}.npz"

    def read(self, signature: Signature) -> Embedding | None:
        """Embedding of this signature; `None` if it was never written.

        Raises
        ------
        InputError
            If the file is damaged, or holds another embedding than its name says.
        """
        path = self.path(signature)
        if not path.exists():
            return None
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as record:
                found = str(record["signature"])
                rows = {name: record[name] for name in ("features", "picture_size", "input_size")}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{path}: must be an embedding; got a damaged file ({error}). Remove it."
            ) from error
        _refuse_another(path, found, signature)
        return Embedding(
            features=rows["features"],
            picture_size=_pair(rows["picture_size"]),
            input_size=_pair(rows["input_size"]),
        )

    def write(self, signature: Signature, embedding: Embedding) -> None:
        """Keep an embedding.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        with atomic(self.path(signature)) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                signature=np.array(signature.to_json()),
                features=embedding.features,
                picture_size=np.array(embedding.picture_size),
                input_size=np.array(embedding.input_size),
            )


def _refuse_another(path: Path, found: str, wanted: Signature) -> None:
    if found == wanted.to_json():
        return
    try:
        have = dict(json.loads(found))
    except (ValueError, TypeError):
        have = {}
    different = [
        f"{name} {have.get(name)!r}, not {value!r}"
        for name, value in dataclasses.asdict(wanted).items()
        if have.get(name) != value
    ]
    raise InputError(
        f"{path}: must be the embedding that its name says; got one of "
        f"{'; '.join(different) or found}. Remove it, or the whole folder: it is made again."
    )


def _pair(numbers: NDArray[np.int64]) -> tuple[int, int]:
    first, second = numbers.tolist()
    return first, second
