"""Embeddings of pictures on disk, each with the signature of what it was made from.

Encoding a picture takes SAM a hundred times as long as drawing a mask, and is the same for every
annotator, label, fusion method and number of prompts. Files are named after their signature, so
another checkpoint or another window makes other files. A file that was renamed or damaged, or
that this user did not write, is not opened but made again: masks drawn from it would be somebody
else's.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crowdqc.trust import is_sealed, seal
from crowdqc.writing import atomic

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
        """Embedding of this signature; `None` if this user never wrote it as it is now."""
        path = self.path(signature)
        if not is_sealed(path):
            return None
        with path.open("rb") as file, np.load(file, allow_pickle=False) as record:
            return Embedding(
                features=record["features"],
                picture_size=_pair(record["picture_size"]),
                input_size=_pair(record["input_size"]),
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
                features=embedding.features,
                picture_size=np.array(embedding.picture_size),
                input_size=np.array(embedding.input_size),
            )
        seal(self.path(signature))

    def kept(self, signature: Signature, make: Callable[[], Embedding]) -> Embedding:
        """Embedding of this signature, made and kept where it is not there."""
        embedding = self.read(signature)
        if embedding is None:
            embedding = make()
            self.write(signature, embedding)
        return embedding


def _pair(numbers: NDArray[np.int64]) -> tuple[int, int]:
    first, second = numbers.tolist()
    return first, second
