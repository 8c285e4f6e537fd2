"""Points beside boxes, as SAM's own predictor and the library of SAM 2 take them."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from samgen.predictor import Prompts, no_points, sample_along  # noqa: E402
from samgen.predictors import takes_points  # noqa: E402
from samgen.square import square_pixels  # noqa: E402
from tests.commands import call  # noqa: E402
from tests.samgen.painting import volume  # noqa: E402

POINTS = np.array([[30.0, 22.5, 1], [12, 50, 0]])


def prompts(boxes, points=POINTS, **more):
    boxes = np.asarray(boxes, np.float64)
    return Prompts(boxes[0], boxes, (len(boxes),), points, **more)


@pytest.mark.parametrize("shape", [(80, 80), (64, 101), (200, 90)])
def test_sam_draws_what_the_stock_predictor_draws_from_points_and_a_box(sam, shape):
    pytest.importorskip("segment_anything")
    from tests.samgen.test_sam import best, grey, stock_predictor

    picture = grey(shape)
    model = best(sam)
    encoded = model.encode(picture)
    asked = prompts([[10, 12, 44, 40], [11, 12, 45, 41]])
    stock = stock_predictor(sam, picture)
    half = 0.5 * np.array([shape[1], shape[0]]) / np.array(stock.input_size)[::-1]

    drawn = model.predict_object(encoded, asked)
    summary = next(model.summarise(encoded, [asked]))

    for k, box in enumerate(asked.boxes):
        logits, score, _ = stock.predict(
            point_coords=POINTS[:, :2] - half,
            point_labels=POINTS[:, 2],
            box=box - np.tile(half, 2),
            multimask_output=False,
            return_logits=True,
        )
        soft = torch.as_tensor(logits[0]).sigmoid().numpy()
        np.testing.assert_allclose(drawn.probability[k], soft, atol=3e-5)
        assert drawn.predicted_iou[k] == pytest.approx(score[0], abs=1e-4)
    mean = drawn.probability.mean(axis=0)[summary.region]
    np.testing.assert_allclose(summary.mean, mean, atol=1e-5)
    without = model.predict(encoded, asked.boxes)
    assert np.abs(without.probability - drawn.probability).max() > 0.001


def test_objects_with_and_without_points_are_drawn_in_order(sam):
    from tests.samgen.test_sam import best, grey

    model = best(sam)
    encoded = model.encode(grey((80, 80)))
    one, two = [[10, 12, 44, 40]], [[20, 22, 64, 70]]
    objects = [prompts(one, no_points()), prompts(two), prompts(one), prompts(two, no_points())]

    together = [summary.mean for summary in model.summarise(encoded, objects)]

    for asked, mean in zip(objects, together, strict=True):
        np.testing.assert_allclose(next(model.summarise(encoded, [asked])).mean, mean, atol=1e-5)


@pytest.mark.parametrize("settings", [{"family": "medsam"}, {"mode": "paper"}])
def test_medsam_and_the_paper_know_boxes_alone(sam, settings):
    from tests.samgen.test_sam import best, grey

    model = best(sam, **settings)
    encoded = model.encode(grey((80, 80)))
    asked = prompts([[10, 12, 44, 40]])

    drawn = model.predict_object(encoded, asked)

    assert not model.takes_points
    np.testing.assert_array_equal(
        drawn.probability, model.predict(encoded, asked.boxes).probability
    )
    summary = next(model.summarise(encoded, [asked]))
    plain = next(model.summarise(encoded, [prompts([[10, 12, 44, 40]], no_points())]))
    np.testing.assert_array_equal(summary.mean, plain.mean)


def test_points_are_stretched_with_the_picture(sam):
    from tests.samgen.test_sam import best, grey

    picture = grey((40, 80))
    model = square_pixels(best(sam), width_mm=1.0, height_mm=2.0)
    encoded = model.encode(picture)
    asked = prompts([[10, 6, 44, 20]], np.array([[30.0, 11, 1]]))

    drawn = model.predict_object(encoded, asked)

    inner = best(sam).predict_object(
        encoded.encoded, prompts([[10, 12, 44, 40]], np.array([[30.0, 22, 1]]))
    )
    halved = inner.probability.reshape(1, 40, 2, 80).mean(axis=2)
    np.testing.assert_allclose(drawn.probability, halved, atol=1e-5)


def test_a_scribble_prompts_by_points_along_it_and_is_stretched_with_the_picture(sam):
    from tests.samgen.test_sam import best, grey

    line = np.array([[10.0, 20, 1], [20, 20, 1], [20, 30, 1]])
    along = [[12, 20], [16, 20], [20, 20], [20, 24], [20, 28]]
    points = np.column_stack([along, np.ones(5)])
    box = [[5, 8, 44, 40]]
    model = best(sam)
    encoded = model.encode(grey((80, 80)))
    scribbled = prompts(box, no_points(), scribbles=(line,))

    drawn = model.predict_object(encoded, scribbled)

    expected = model.predict_object(encoded, prompts(box, points)).probability
    np.testing.assert_allclose(drawn.probability, expected, atol=1e-6)
    assert not len(scribbled.boxes_alone().marks)
    stretched = square_pixels(model, width_mm=1.0, height_mm=2.0)
    flat = stretched.encode(grey((40, 80)))
    low = prompts([[5, 4, 44, 20]], no_points(), scribbles=(line * [1, 0.5, 1],))
    inner = model.predict_object(flat.encoded, scribbled).probability
    halved = inner.reshape(1, 40, 2, 80).mean(axis=2)
    np.testing.assert_allclose(stretched.predict_object(flat, low).probability, halved, atol=1e-5)


@given(st.lists(st.tuples(st.floats(0, 90), st.floats(0, 90)), min_size=2, max_size=8))
def test_points_along_a_scribble_lie_on_it(corners):
    line = np.column_stack([np.array(corners), np.zeros(len(corners))])

    found = sample_along(line)

    assert not found[:, 2].any()
    for place in found[:, :2]:
        assert min(distance(place, a, b) for a, b in pairwise(line[:, :2])) < 1e-6


def distance(place, a, b):
    """Of a place from a line from a to b."""
    length = ((b - a) ** 2).sum()
    share = np.clip((place - a) @ (b - a) / length, 0, 1) if length else 0.0
    return np.hypot(*(a + share * (b - a) - place))


def test_sam2_draws_what_the_library_draws_from_points_and_a_box():
    pytest.importorskip("transformers")
    import dataclasses

    from transformers import Sam2ImageProcessor, Sam2VideoProcessor, Sam2VideoVideoProcessor

    from samgen.predictors.sam2 import Sam2Predictor
    from samgen.volume_predictor import Volume
    from tests.samgen.small_sam2 import SIDE, small_model
    from tests.samgen.test_sam2 import asked

    shape = (5, 40, 56)
    grey = np.random.default_rng(0).normal(90, 30, shape).clip(0, 255).astype(np.uint8)
    shown = Volume(grey, (3.0, 1.0, 0.7), lambda: grey.astype(np.float32))
    model = small_model()
    boxes = asked([1, 3])
    points = np.array([[25.0, 18, 1], [50, 35, 0]])
    with_points = dataclasses.replace(
        boxes, prompts=tuple(dataclasses.replace(one, points=points) for one in boxes.prompts)
    )
    predictor = Sam2Predictor(model, name="s", digest="")
    found = {k: p for k, p, _ in predictor._planes(predictor.features(shown), with_points)}
    plain = {k: p for k, p, _ in predictor._planes(predictor.features(shown), boxes)}

    processor = Sam2VideoProcessor(
        image_processor=Sam2ImageProcessor(size={"height": SIDE, "width": SIDE}),
        video_processor=Sam2VideoVideoProcessor(size={"height": SIDE, "width": SIDE}),
        target_size=SIDE,
    )
    frames = [np.repeat(one[..., None], 3, axis=2) for one in grey]
    half = 0.5 * np.array([56, 40]) / SIDE  # the library takes pixels for points
    for k, one in zip(boxes.slices, boxes.prompts, strict=True):
        session = processor.init_video_session(video=frames, inference_device="cpu")
        processor.add_inputs_to_inference_session(
            session,
            frame_idx=k,
            obj_ids=1,
            input_points=[[(points[:, :2] - half).tolist()]],
            input_labels=[[points[:, 2].astype(int).tolist()]],
            input_boxes=[[(one.box - np.tile(half, 2)).tolist()]],
        )
        logits = model(session, frame_idx=k).pred_masks
        own = predictor.features(shown).enlarged(logits)[0]
        np.testing.assert_allclose(found[k][0], own, atol=1e-4)
        assert np.abs(found[k] - plain[k]).max() > 1e-3
    only_boxes = Sam2Predictor(model, name="s", digest="")
    only_boxes.takes_points = False
    for k, planes, _ in only_boxes._planes(only_boxes.features(shown), with_points):
        np.testing.assert_array_equal(planes, plain[k])


@pytest.mark.parametrize(
    ("model", "takes"),
    [
        ("sam_vit_b", True),
        ("medsam", False),
        ("sam2.1_hiera_tiny", True),
        ("medsam2", False),
        ("nninteractive", True),
        ("intensity", False),
        ("intensity3d", False),
    ],
)
def test_which_models_draw_from_points(model, takes):
    assert takes_points(model) is takes


COLUMNS = [
    "case",
    "slice",
    "rater",
    "label",
    "x0",
    "y0",
    "x1",
    "y1",
    "point_x",
    "point_y",
    "positive",
]
STUDY = """
[study]
name = "s"
[labels]
liver = { name = "liver", value = 7 }
[annotations]
format = "table"
path = "boxes.csv"
[annotations.columns]
COLUMNS
[images]
path = "{case}.nii.gz"
window = { level = 0, width = 4 }
[agree]
bootstrap = 0
[masks]
prompts = 3
""".replace("COLUMNS", "\n".join(f'{name} = "{name}"' for name in COLUMNS))


def write_study(folder, *points):
    volume(folder / "a.nii.gz", np.diag([1, 1, 2, 1]))
    rows = [("a", k, who, "liver", 6, 5, 20, 18, "", "", "") for k in (1, 2, 3) for who in "pq"]
    rows += [("a", k, "p", "liver", "", "", "", "", x, y, said) for k, x, y, said in points]
    pd.DataFrame(rows, columns=COLUMNS).to_csv(folder / "boxes.csv", index=False)
    (folder / "study.toml").write_text(STUDY)
    return folder / "study.toml"


def test_a_study_with_points_from_the_table_to_the_masks(tmp_path):
    pytest.importorskip("transformers")
    from tests.samgen.small_sam2 import small_model

    small_model().save_pretrained(tmp_path / "small")
    model = f"sam2:{tmp_path / 'small'}"
    study = write_study(tmp_path, (2, 12, 11, ""), (2, 1, 1, "false"), (3, 1, 1, ""))

    done = call("masks", study, "--model", model)

    assert done.exit_code == 0, done.output
    assert len(pd.read_csv(tmp_path / "out" / "points.csv")) == 3
    assert "prompt nothing" in done.output
    found = (tmp_path / "out" / "masks.findings.jsonl").read_text()
    assert "point-without-box" in found
    table = pd.read_csv(tmp_path / "out" / "masks.csv")
    again = call("masks", study, "--model", model)
    assert "up to date" in again.output
    masks = {path.name: path.read_bytes() for path in (tmp_path / "out/masks").glob("*.nii.gz")}

    write_study(tmp_path, (2, 12, 11, "false"))  # another point: other masks
    changed = call("masks", study, "--model", model)
    assert changed.exit_code == 0, changed.output
    other = {path.name: path.read_bytes() for path in (tmp_path / "out/masks").glob("*.nii.gz")}
    assert masks["a.uncertainty.nii.gz"] != other["a.uncertainty.nii.gz"]
    plain = call("masks", study, "--model", "intensity")
    assert "draws from boxes alone" in plain.output
    assert len(table) == 3
