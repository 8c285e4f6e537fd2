import logging

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("segment_anything")

import segment_anything  # noqa: E402
import skimage  # noqa: E402
from torch.nn import functional  # noqa: E402

from crowdqc.findings import InputError  # noqa: E402
from samgen import weights  # noqa: E402
from samgen.cache import EmbeddingCache  # noqa: E402
from samgen.enlarge import enlarge_directly, enlarge_through  # noqa: E402
from samgen.predictor import SUPPORT, BoxPredictor, Prompts  # noqa: E402
from samgen.predictors import sam as module  # noqa: E402
from samgen.predictors.sam import SamBoxPredictor, choose_device, load_predictor  # noqa: E402
from samgen.sam_stock import _sigmoid  # noqa: E402
from samgen.uncertainty import summarise  # noqa: E402

SIDE = 160
SHAPES = [(80, 80), (160, 160), (64, 101), (101, 64), (200, 90)]


def grey(shape, seed=0):
    """Blobs: a picture with structure, whose minimum and maximum are not 0 and 255."""
    noise = np.random.default_rng(seed).normal(size=shape)
    smooth = skimage.filters.gaussian(noise, sigma=4)
    return np.interp(smooth, [smooth.min(), smooth.max()], [10, 240]).astype(np.uint8)


def some_boxes(shape, n=6, seed=1):
    rows, columns = shape
    rng = np.random.default_rng(seed)
    low = rng.random((n, 2)) * [columns - 12, rows - 12]
    return np.hstack([low, low + 3 + rng.random((n, 2)) * 9])


def stock_predictor(sam, picture):
    predictor = segment_anything.SamPredictor(sam)
    predictor.set_image(np.repeat(picture[..., None], 3, axis=2))
    return predictor


def best(sam, **settings):
    return SamBoxPredictor(sam, name="small", digest="sha256:0", **settings)


@pytest.mark.parametrize("shape", SHAPES)
def test_sam_draws_what_the_stock_predictor_draws(sam, shape):
    picture, boxes = grey(shape), some_boxes(shape)
    stock = stock_predictor(sam, picture)
    new = np.array(stock.input_size)[[1, 0, 1, 0]]
    half_a_pixel = 0.5 * np.array([shape[1], shape[0]] * 2) / new  # in the picture's own pixels

    model = best(sam)
    drawn = model.predict(model.encode(picture), boxes)

    for k, box in enumerate(boxes):
        logits, score, _ = stock.predict(
            box=box - half_a_pixel, multimask_output=False, return_logits=True
        )
        soft = torch.as_tensor(logits[0]).sigmoid().numpy()
        np.testing.assert_allclose(drawn.probability[k], soft, atol=3e-5)  # logits: 1e-4
        clear = np.abs(logits[0]) > 1e-4
        assert np.array_equal(drawn.probability[k][clear] > 0.5, logits[0][clear] > 0)
        assert 0.001 < (logits[0] > 0).mean() < 0.999
        assert drawn.predicted_iou[k] == pytest.approx(score[0], abs=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_medsam_draws_what_its_own_script_draws(sam, shape):
    picture, boxes = grey(shape), some_boxes(shape)
    rows, columns = shape
    large = skimage.transform.resize(
        np.repeat(picture[:, :, None], 3, axis=-1),
        (SIDE, SIDE),
        order=3,
        preserve_range=True,
        anti_aliasing=True,
    ).astype(np.uint8)
    large = (large - large.min()) / np.clip(large.max() - large.min(), 1e-8, None)
    # The script takes pixels for points, half a pixel of its own grid off; see `place_boxes`.
    scaled = boxes / [columns, rows, columns, rows] * SIDE - 0.5
    with torch.no_grad():
        embedding = sam.image_encoder(torch.tensor(large).float().permute(2, 0, 1)[None])
        sparse, dense = sam.prompt_encoder(
            points=None, boxes=torch.as_tensor(scaled, dtype=torch.float)[:, None], masks=None
        )
        low, _ = sam.mask_decoder(
            image_embeddings=embedding,
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        script = functional.interpolate(torch.sigmoid(low), size=shape, mode="bilinear")[:, 0]

    model = best(sam, family="medsam")
    drawn = model.predict(model.encode(picture), boxes)

    np.testing.assert_allclose(drawn.probability, script, atol=3e-5)
    clear = (script - 0.5).abs().numpy() > 3e-5
    assert np.array_equal((drawn.probability > 0.5)[clear], (script > 0.5).numpy()[clear])
    assert np.isnan(drawn.predicted_iou).all()


def study_image(picture, *, edges):
    def rescale(values):
        return ((values - values.min()) / (values.max() - values.min())) * (255.0 - 0.0) + 0.0

    image = rescale(np.dstack([picture] * 3).astype(np.float32))
    if edges:
        image += rescale(skimage.filters.sobel(image))
        image = rescale(image)
    return image.astype(np.uint8)


@pytest.mark.parametrize("family", ["sam", "medsam"])
@pytest.mark.parametrize("shape", [(80, 80), (64, 101)])
def test_paper_draws_bit_by_bit_what_the_study_drew(sam, shape, family):
    picture, boxes = grey(shape), some_boxes(shape)
    study = segment_anything.SamPredictor(sam)
    study.set_image(study_image(picture, edges=family == "sam"))

    model = best(sam, family=family, mode="paper")
    drawn = model.predict(model.encode(picture), boxes)

    for k, (x0, y0, x1, y1) in enumerate(boxes):
        masks, scores, _ = study.predict(
            box=np.array([int(x0), int(y0), int(x1), int(y1)]), multimask_output=True
        )
        assert np.array_equal(drawn.probability[k] > 0.5, masks[np.argmax(scores)])
        assert drawn.predicted_iou[k] == scores.max()
    assert model.last_wins
    assert not best(sam).last_wins


def test_a_logit_just_above_zero_is_inside():
    logits = np.array([-1.0, -1e-9, 0.0, 1e-9, 1.0], np.float32)

    assert (_sigmoid(logits) > 0.5).tolist() == [False, False, False, True, True]


@pytest.mark.parametrize("mode", ["best", "paper"])
def test_a_pixel_and_no_box_at_all(sam, mode):
    shape = (50, 70)
    model = best(sam, mode=mode)
    encoded = model.encode(grey(shape))

    one = model.predict(encoded, np.array([[69.0, 49.0, 70.0, 50.0]]))
    none = model.predict(encoded, np.zeros((0, 4)))

    assert (one.probability.shape, one.probability.dtype) == ((1, *shape), np.float32)
    assert np.isfinite(one.probability).all()
    assert (none.probability.shape, none.predicted_iou.shape) == ((0, *shape), (0,))


def test_it_is_a_box_predictor_that_signs_for_all_that_changes_masks(sam):
    models = [
        best(sam),
        best(sam, mode="paper"),
        best(sam, family="medsam"),
        SamBoxPredictor(sam, name="small", digest="sha256:1"),
    ]

    assert all(isinstance(model, BoxPredictor) for model in models)
    assert len({model.signature for model in models}) == 4
    assert models[0].name == "small"


def test_bfloat16_is_near_and_has_embeddings_of_its_own(sam, tmp_path):
    picture, boxes = grey((64, 101)), some_boxes((64, 101))
    exact, lower = (best(sam, cache=EmbeddingCache(tmp_path)) for _ in range(2))
    lower.bf16 = True

    drawn = [one.predict(one.encode(picture), boxes).probability for one in (exact, lower)]

    assert exact.signature != lower.signature
    assert len(list(tmp_path.glob("*.npz"))) == 2
    assert ((drawn[0] > 0.5) == (drawn[1] > 0.5)).mean() > 0.97
    assert not np.array_equal(*drawn)


def test_the_paper_is_made_again_in_float32():
    with pytest.raises(InputError, match="mode = 'paper' is the stock code in float32"):
        load_predictor("sam_vit_b", mode="paper", device="cpu", precision="bfloat16")


def test_a_picture_is_encoded_once(sam, tmp_path, monkeypatch):
    picture, boxes = grey((64, 101)), some_boxes((64, 101))
    plain = best(sam)
    fresh = plain.predict(plain.encode(picture), boxes)
    cache = EmbeddingCache(tmp_path)
    best(sam, cache=cache).encode(picture)
    monkeypatch.setattr(module, "encode_pictures", None)

    again = best(sam, cache=EmbeddingCache(tmp_path))
    drawn = again.predict(again.encode(picture), boxes)

    assert np.array_equal(drawn.probability, fresh.probability)
    assert len(list(tmp_path.glob("*.npz"))) == 1


def test_models_and_modes_share_no_embedding(sam, tmp_path):
    cache = EmbeddingCache(tmp_path)
    for settings in ({}, {"family": "medsam"}, {"mode": "paper"}):
        best(sam, cache=cache, **settings).encode(grey((40, 40)))

    assert len(list(tmp_path.glob("*.npz"))) == 3


@pytest.mark.parametrize(
    "picture",
    [np.zeros((4, 4)), np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4), np.uint8)],
    ids=["float", "colour", "empty"],
)
def test_other_pictures_are_refused(sam, picture):
    with pytest.raises(ValueError, match="'picture' must be uint8"):
        best(sam).encode(picture)


@pytest.mark.parametrize("mode", ["best", "paper"])
def test_other_boxes_are_refused(sam, mode):
    model = best(sam, mode=mode)
    encoded = model.encode(grey((40, 40)))

    with pytest.raises(ValueError, match="row 0"):
        model.predict(encoded, np.array([[5.0, 5.0, 5.0, 9.0]]))


@pytest.fixture
def checkpoint(sam, other_sam, tmp_path, monkeypatch):
    """A checkpoint of an architecture that the registry is made to know."""
    monkeypatch.setitem(weights.ARCHITECTURES, (48, 3), "small")
    monkeypatch.setitem(segment_anything.sam_model_registry, "small", other_sam)
    path = tmp_path / "own.pth"
    torch.save(sam.state_dict(), path)
    return path


def test_a_checkpoint_draws_what_the_model_that_was_saved_drew(sam, checkpoint, tmp_path):
    picture, boxes = grey((60, 60)), some_boxes((60, 60))

    loaded = load_predictor(f"sam:{checkpoint}", device="cpu", cache=tmp_path / "cache")
    drawn = loaded.predict(loaded.encode(picture), boxes)

    wanted = best(sam).predict(best(sam).encode(picture), boxes)
    assert np.array_equal(drawn.probability, wanted.probability)
    assert loaded.name == "own"
    assert weights.digest_of(checkpoint) in loaded.signature
    assert len(list((tmp_path / "cache").glob("*.npz"))) == 1


def test_the_family_comes_with_the_path(checkpoint, caplog):
    with caplog.at_level(logging.WARNING):
        assert load_predictor(str(checkpoint)).family == "sam"
    assert "medsam:" in caplog.text
    assert load_predictor(f"medsam:{checkpoint}", mode="paper").family == "medsam"


def test_a_named_model_keeps_its_name(checkpoint, monkeypatch, tmp_path):
    known = weights.Checkpoint(
        name="medsam",
        family="medsam",
        file=checkpoint.name,
        url="",
        megabytes=1,
        digest=weights.digest_of(checkpoint),
        licence="",
    )
    monkeypatch.setitem(weights.CHECKPOINTS, "medsam", known)
    monkeypatch.setenv("CROWDQC_WEIGHTS", str(tmp_path))

    model = load_predictor("medsam")

    assert (model.name, model.family) == ("medsam", "medsam")


def test_a_checkpoint_that_does_not_fit_is_refused(sam, checkpoint):
    state = sam.state_dict()
    del state["prompt_encoder.no_mask_embed.weight"]
    torch.save(state, checkpoint)

    with pytest.raises(InputError, match=r"own\.pth: does not hold a SAM .*no_mask_embed"):
        load_predictor(f"sam:{checkpoint}")


def test_another_model_is_refused(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pth")

    with pytest.raises(InputError, match=r"a\.pth: does not hold .*width 0"):
        load_predictor(f"sam:{tmp_path / 'a.pth'}")


def test_devices():
    assert choose_device("auto").type in {"cpu", "cuda"}
    assert choose_device("cpu").type == "cpu"
    for name in ("gpu", "cuda:99"):
        with pytest.raises(InputError, match=f"got '{name}'"):
            choose_device(name)


def some_objects(shape, seed=1):
    boxes = some_boxes(shape, n=7, seed=seed)
    return [Prompts(boxes[0], boxes[:4], (3, 1)), Prompts(boxes[4], boxes[4:], (3,))]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("settings", [{}, {"family": "medsam"}, {"mode": "paper"}])
def test_what_is_kept_of_many_masks_is_what_whole_masks_give(sam, shape, settings):
    picture, objects = grey(shape), some_objects(shape)
    model = best(sam, **settings)
    encoded = model.encode(picture)

    kept = list(model.summarise(encoded, objects))

    for one, prompts in zip(kept, objects, strict=True):
        drawn = model.predict(encoded, prompts.boxes)
        whole = summarise(drawn.probability.astype(float), prompts.sizes)
        outside = np.ones(shape, bool)
        outside[one.region] = False
        assert (whole.mean[outside] <= SUPPORT).all()
        for name in ("mean", "source_entropy", "prompt_entropy"):
            expected = getattr(whole, name)[one.region]
            np.testing.assert_allclose(getattr(one, name), expected, atol=1e-5)
        np.testing.assert_allclose(one.shared, whole.shared, atol=2)  # pixels at a tie
        np.testing.assert_array_equal(one.predicted_iou, drawn.predicted_iou)


def test_many_objects_are_decoded_in_groups(sam, monkeypatch):
    shape = (64, 101)
    model = best(sam)
    encoded = model.encode(grey(shape))
    objects = [*some_objects(shape), *some_objects(shape, seed=2)]
    together = list(model.summarise(encoded, objects))
    monkeypatch.setattr(module, "TOGETHER", 5)
    sizes = []
    decode = module.decode_boxes

    def spy(*args, **more):
        sizes.append(len(args[2]))
        return decode(*args, **more)

    monkeypatch.setattr(module, "decode_boxes", spy)

    apart = list(model.summarise(encoded, objects))

    assert sizes == [4, 3, 4, 3]
    for a, b in zip(together, apart, strict=True):
        np.testing.assert_allclose(a.mean, b.mean, atol=1e-6)


def test_only_the_surroundings_of_an_object_are_enlarged():
    # A grid of 10 x 10 cells of 4 x 4 px, one of them marked.
    enlarge = enlarge_directly((10, 10), (40, 40), device=torch.device("cpu"))
    marked = torch.zeros(2, 10, 10, dtype=torch.bool)
    marked[0, 3, 5] = True

    region, nothing = enlarge.reach(marked)

    maps = torch.zeros(1, 10, 10)
    maps[0, 3, 5] = 1
    touched = np.flatnonzero((enlarge(maps)[0] > 0).any(dim=1))
    assert region[0] == slice(touched[0], touched[-1] + 1)
    assert nothing is None
    torch.testing.assert_close(enlarge(maps, region), enlarge(maps)[:, *region])


@pytest.mark.parametrize("shape", SHAPES)
def test_two_matrices_resize_as_torch_does(shape):
    side, grid = 160, (40, 40)
    covered = (min(round(160 * shape[0] / max(shape)), 160), round(160 * shape[1] / max(shape)))
    maps = torch.randn(3, *grid, generator=torch.Generator().manual_seed(0))

    def resize(maps, size):
        return functional.interpolate(maps[None], size, mode="bilinear", align_corners=False)[0]

    directly = enlarge_directly(grid, shape, device=torch.device("cpu"))
    through = enlarge_through(side, grid, shape, covered=covered, device=torch.device("cpu"))

    torch.testing.assert_close(directly(maps), resize(maps, shape), atol=1e-5, rtol=0)
    large = resize(maps, (side, side))[:, : covered[0], : covered[1]]
    torch.testing.assert_close(through(maps), resize(large, shape), atol=1e-5, rtol=0)
