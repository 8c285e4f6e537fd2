import dataclasses
import shutil

import numpy as np
import pytest

from crowdqc.findings import InputError
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


def test_another_embedding_under_this_name_is_refused_with_both_values(tmp_path):
    cache = EmbeddingCache(tmp_path)
    cache.write(other(checkpoint="sha256:d"), EMBEDDING)
    shutil.move(cache.path(other(checkpoint="sha256:d")), cache.path(SIGNATURE))

    with pytest.raises(InputError, match="got one of checkpoint 'sha256:d', not 'sha256:c'\\. "):
        cache.read(SIGNATURE)


@pytest.mark.parametrize("damage", ["cut", "flip", "no zip", "empty", "no features", "odd text"])
def test_a_damaged_file_is_refused(tmp_path, damage):
    cache = EmbeddingCache(tmp_path)
    cache.write(SIGNATURE, EMBEDDING)
    path = cache.path(SIGNATURE)
    content = path.read_bytes()
    flipped = content.index(EMBEDDING.features.tobytes()[:8])
    if damage == "no features":
        np.savez(path, signature=np.array(SIGNATURE.to_json()))
    elif damage == "odd text":
        np.savez(path, signature=np.array("?"), features=0, picture_size=0, input_size=0)
    else:
        path.write_bytes(
            {
                "cut": content[: len(content) // 2],
                "flip": content[:flipped] + bytes([content[flipped] ^ 1]) + content[flipped + 1 :],
                "no zip": b"something else",
                "empty": b"",
            }[damage]
        )

    with pytest.raises(InputError, match=f"{path.name}: must be .* Remove it"):
        cache.read(SIGNATURE)


def test_pictures_are_told_apart_by_size_and_by_every_pixel():
    picture = np.arange(12, dtype=np.uint8).reshape(3, 4)
    changed = picture.copy()
    changed[2, 3] += 1

    assert hash_pixels(picture) == hash_pixels(np.asfortranarray(picture))
    assert len({hash_pixels(p) for p in (picture, changed, picture.reshape(4, 3))}) == 3
