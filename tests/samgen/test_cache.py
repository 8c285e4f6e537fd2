import dataclasses
import shutil

import numpy as np
import pytest

from crowdqc.trust import seal_of
from samgen.cache import Embedding, EmbeddingCache, Signature, hash_pixels

SIGNATURE = Signature(
    pixels="p", preprocessing="sam", checkpoint="sha256:c", arithmetic="rows float32"
)
EMBEDDING = Embedding(
    features=np.random.default_rng(1).normal(size=(3, 2, 4)).astype(np.float32),
    picture_size=(300, 500),
    input_size=(614, 1024),
)


def other(**changes):
    return dataclasses.replace(SIGNATURE, **changes)


def test_what_was_written_is_read_bit_by_bit(tmp_path):
    cache = EmbeddingCache(tmp_path / "new")
    cache.write(SIGNATURE, EMBEDDING)
    found = EmbeddingCache(tmp_path / "new").read(SIGNATURE)

    assert found.features.dtype == np.float32
    assert np.array_equal(found.features, EMBEDDING.features)
    assert (found.picture_size, found.input_size) == ((300, 500), (614, 1024))


@pytest.mark.parametrize(
    "change",
    [
        {"pixels": "q"},
        {"preprocessing": "medsam"},
        {"checkpoint": "sha256:d"},
        {"arithmetic": "augmented bfloat16"},
        {"version": 2},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_it_depends_on_makes_another_file(tmp_path, change):
    cache = EmbeddingCache(tmp_path)
    cache.write(SIGNATURE, EMBEDDING)

    assert cache.read(other(**change)) is None


def test_another_embedding_under_this_name_is_not_used(tmp_path):
    cache = EmbeddingCache(tmp_path)
    cache.write(other(checkpoint="sha256:d"), EMBEDDING)
    first, second = cache.path(other(checkpoint="sha256:d")), cache.path(SIGNATURE)
    shutil.move(first, second)
    shutil.move(seal_of(first), seal_of(second))

    assert cache.read(SIGNATURE) is None


def test_what_another_user_wrote_is_not_used(tmp_path, monkeypatch):
    cache = EmbeddingCache(tmp_path)
    cache.write(SIGNATURE, EMBEDDING)
    monkeypatch.setenv("CROWDQC_KEY", "quite another key than before")

    assert cache.read(SIGNATURE) is None


@pytest.mark.parametrize("damage", ["cut", "flip", "no zip", "empty", "no features", "odd text"])
def test_a_damaged_file_is_not_used(tmp_path, damage):
    cache = EmbeddingCache(tmp_path)
    cache.write(SIGNATURE, EMBEDDING)
    path = cache.path(SIGNATURE)
    content = path.read_bytes()
    flipped = content.index(EMBEDDING.features.tobytes()[:8])
    if damage == "no features":
        np.savez(path, picture_size=0)
    elif damage == "odd text":
        np.savez(path, features=0, picture_size=0, input_size=0)
    else:
        path.write_bytes(
            {
                "cut": content[: len(content) // 2],
                "flip": content[:flipped] + bytes([content[flipped] ^ 1]) + content[flipped + 1 :],
                "no zip": b"something else",
                "empty": b"",
            }[damage]
        )

    assert cache.read(SIGNATURE) is None


def test_pictures_are_told_apart_by_size_and_by_every_pixel():
    picture = np.arange(12, dtype=np.uint8).reshape(3, 4)
    changed = picture.copy()
    changed[2, 3] += 1

    assert hash_pixels(picture) == hash_pixels(np.asfortranarray(picture))
    assert len({hash_pixels(p) for p in (picture, changed, picture.reshape(4, 3))}) == 3
