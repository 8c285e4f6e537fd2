import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samgen.preparation import (
    enhance_picture,
    place_boxes,
    prepare_for_medsam,
    prepare_for_sam,
)

SHAPES = [(80, 80), (160, 160), (64, 101), (101, 64), (200, 90), (1, 7), (1, 1)]


def grey(shape, seed=0):
    return np.random.default_rng(seed).integers(20, 230, shape, dtype=np.uint8)


@pytest.mark.parametrize("shape", SHAPES)
def test_pictures_for_sam_are_bit_by_bit_those_of_its_predictor(sam, shape):
    torch = pytest.importorskip("torch")
    from segment_anything.utils.transforms import ResizeLongestSide

    picture = grey(shape)
    colour = np.repeat(picture[..., None], 3, axis=2)
    resized = ResizeLongestSide(160).apply_image(colour)
    stock = sam.preprocess(torch.as_tensor(resized).permute(2, 0, 1)[None])[0].numpy()

    pixels, covered = prepare_for_sam(picture, 160)

    assert np.array_equal(pixels, stock)
    assert pixels.dtype == np.float32
    assert covered == resized.shape[:2]


@pytest.mark.parametrize("shape", [*SHAPES, (300, 500)])
def test_pictures_for_medsam_are_bit_by_bit_those_of_its_script(shape):
    from skimage import transform

    picture = grey(shape)
    colour = np.repeat(picture[:, :, None], 3, axis=-1)
    large = transform.resize(
        colour, (160, 160), order=3, preserve_range=True, anti_aliasing=True
    ).astype(np.uint8)
    script = (large - large.min()) / np.clip(large.max() - large.min(), a_min=1e-8, a_max=None)

    pixels, covered = prepare_for_medsam(picture, 160)

    assert np.array_equal(pixels, script.transpose(2, 0, 1).astype(np.float32))
    assert pixels.flags.writeable
    assert covered == (160, 160)


@pytest.mark.parametrize("value", [0, 7, 255])
def test_a_picture_of_one_grey_value_is_black_and_not_nan(value):
    picture = np.full((9, 8), value, np.uint8)

    assert not prepare_for_medsam(picture, 32)[0].any()
    assert not enhance_picture(picture, edges=True).any()
    assert not enhance_picture(picture, edges=False).any()


def as_in_the_study(picture, *, edges):
    """The steps that the study's repository takes for a picture read from a PNG file."""
    import skimage

    def rescale(values):
        return ((values - values.min()) / (values.max() - values.min())) * (255.0 - 0.0) + 0.0

    image = rescale(np.dstack([picture] * 3).astype(np.float32))
    if not edges:
        return image.astype(np.uint8)
    image += rescale(skimage.filters.sobel(image))
    return rescale(image).astype(np.uint8)


@pytest.mark.parametrize("edges", [True, False])
@pytest.mark.parametrize("shape", [(80, 80), (64, 101)])
def test_pictures_are_enhanced_bit_by_bit_as_in_the_study(shape, edges):
    picture = grey(shape)

    assert np.array_equal(
        enhance_picture(picture, edges=edges), as_in_the_study(picture, edges=edges)
    )


sizes = st.tuples(st.integers(1, 600), st.integers(1, 600))


@given(sizes, st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_sam_sees_the_edges_of_a_box_where_they_are(size, seed):
    rng = np.random.default_rng(seed)
    rows, columns = size
    covered = prepare_for_sam(np.zeros(size, np.uint8), 160)[1] if max(size) < 200 else size
    low = rng.random((3, 2)) * [columns, rows]
    boxes = np.hstack([low, low + 1])

    placed = place_boxes(boxes, picture=size, covered=covered)

    # SAM adds 0.5 and divides by the side: the share of the picture must come out.
    share = (placed + 0.5) / [covered[1], covered[0], covered[1], covered[0]]
    np.testing.assert_allclose(share, boxes / [columns, rows, columns, rows], atol=1e-12)
