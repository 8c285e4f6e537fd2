"""SAM 2.1 with random weights: equal to the library's own calls, and what becomes of its masks."""

import json
import shutil
from dataclasses import replace
from typing import get_args

import nibabel
import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from numpy.testing import assert_allclose  # noqa: E402
from transformers import (  # noqa: E402
    Sam2ImageProcessor,
    Sam2VideoInferenceSession,
    Sam2VideoModel,
    Sam2VideoVideoProcessor,
)

from crowdqc.config import Picture, Plane  # noqa: E402
from crowdqc.findings import InputError  # noqa: E402
from crowdqc.volumes import read_labels, to_pictures  # noqa: E402
from samgen.case import Case, Task  # noqa: E402
from samgen.devices import choose_bf16  # noqa: E402
from samgen.predictor import ModelRequest, Prompts  # noqa: E402
from samgen.predictors import open_predictor  # noqa: E402
from samgen.predictors.sam2 import MEMORY, Sam2Predictor  # noqa: E402
from samgen.preparation import place_boxes  # noqa: E402
from samgen.sam2_features import SliceFeatures  # noqa: E402
from samgen.settings import MaskSettings  # noqa: E402
from samgen.volume_predictor import ObjectPrompts, Volume  # noqa: E402
from tests.commands import call  # noqa: E402
from tests.samgen.painting import MANY, consensus, files, generate  # noqa: E402
from tests.samgen.small_sam2 import SIDE, small_model  # noqa: E402

SHAPE = (9, 40, 56)
"""Not square, and not as deep as wide."""


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def volume():
    z, y, x = np.indices(SHAPE)
    grey = np.random.default_rng(0).normal(60, 10, SHAPE)
    grey += 90 * (((y - 20) / 10) ** 2 + ((x - 24 - z) / 14) ** 2 < 1)
    pictures = grey.clip(0, 255).astype(np.uint8)
    return Volume(pictures, (3.0, 1.0, 0.7), lambda: pictures.astype(np.float32))


def asked(slices, **more):
    boxes = [np.array([10.0 + k, 10, 38 + k, 30]) for k in slices]
    jitter = np.random.default_rng(1).normal(size=(5, 4))
    prompts = tuple(Prompts(box, np.vstack([box, box + jitter]), (6,)) for box in boxes)
    n = len(slices)
    given = {"interpolated": np.zeros(n, bool), "empty": frozenset(), "tracked": True} | more
    return ObjectPrompts(
        label="organ",
        slices=tuple(slices),
        prompts=prompts,
        spread=np.full((n, 4), np.nan),
        raters=(np.zeros((0, 4)),) * n,
        again=lambda *_: prompts[0],
        **given,
    )


def boxes_on(slices, box):
    """One prompt, the same box, on some slices."""
    own = Prompts(box, box[None], (1,))
    return replace(asked(slices), prompts=(own,) * len(slices))


def session_of(model, volume, prompts, boxed=None):
    """The library's own session, with a box on all or some slices, run on each of them."""
    rows, columns = volume.shape
    first, last = prompts.slices[0], prompts.slices[-1]
    frames = np.repeat(volume.pictures[first : last + 1, ..., None], 3, axis=3)
    prepare = Sam2VideoVideoProcessor(size={"height": SIDE, "width": SIDE})
    video = prepare(videos=frames, return_tensors="pt").pixel_values_videos[0]
    session = Sam2VideoInferenceSession(
        video=video, video_height=rows, video_width=columns, dtype=torch.float32
    )
    session.obj_id_to_idx(1)
    logits = {}
    for k, box in zip(prompts.slices, prompts.boxes, strict=True):
        if boxed is not None and k not in boxed:
            continue
        placed = place_boxes(box[None], picture=volume.shape, covered=(SIDE, SIDE))
        session.add_point_inputs(
            0,
            k - first,
            {
                "point_coords": torch.tensor(placed.reshape(1, 1, 2, 2), dtype=torch.float32),
                "point_labels": torch.tensor([[[2, 3]]], dtype=torch.int32),
            },
        )
        session.obj_with_new_inputs = [1]
        logits[k] = model(session, frame_idx=k - first).pred_masks
    return session, logits


def probability(model, volume, logits):
    return Sam2Predictor(model, name="s", digest="").features(volume).enlarged(logits)


PLANES = [("stored", picture) for picture in get_args(Picture)]
PLANES += [(plane, "transverse") for plane in get_args(Plane) if plane != "stored"]


@pytest.mark.parametrize(("plane", "picture"), PLANES)
def test_logits_are_those_of_the_library_in_every_orientation(
    model, tmp_path, monkeypatch, plane, picture
):
    """Frame by frame and both ways, at the size of pictures that are not square."""
    values = np.random.default_rng(0).normal(60, 20, (20, 28, 24)).astype(np.float32)
    values[5:15, 8:20, 4:20] += 90
    image = nibabel.Nifti1Image(values, np.diag([0.7, 1.1, 3.0, 1.0]))
    nibabel.save(image, tmp_path / "c.nii.gz")
    settings = MaskSettings(plane=plane, picture=picture)
    task = Task(labels={}, predictor=Sam2Predictor(model, name="s", digest=""), settings=settings)
    shown = Case("c", consensus(), tmp_path / "c.nii.gz", task).read()
    assert shown.shape[0] != shown.shape[1]
    monkeypatch.setattr(SliceFeatures, "enlarged", lambda self, one: self.sized(one).numpy())
    prompts = boxes_on([1, 2, 5], np.array([3.0, 4, 15, 17]))

    found = found_of(model, shown, prompts)

    session, own = session_of(model, shown, prompts)
    model.config.max_cond_frame_num = MEMORY
    frames = {k: own[k] for k in prompts.slices}
    for reverse in (False, True):
        for answer in model.propagate_in_video_iterator(
            session, start_frame_idx=4 if reverse else 0, reverse=reverse
        ):
            k = answer.frame_idx + 1
            expected = frames.get(k, answer.pred_masks)
            at = 0 if k in frames else int(reverse)
            sized = Sam2ImageProcessor().post_process_masks(
                [expected], [shown.shape], binarize=False
            )
            assert_allclose(found[k][0][at], sized[0][0, 0].numpy(), atol=1e-4)
    assert sorted(found) == [1, 2, 3, 4, 5]


def test_bfloat16_is_near_and_never_taken_for_float32(model, volume, tmp_path, monkeypatch):
    monkeypatch.setattr("samgen.devices.CPU", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text("processor: 0\nflags\t\t: sse avx512_bf16\n")
    model.save_pretrained(tmp_path / "small")
    request = ModelRequest(model=f"sam2:{tmp_path / 'small'}", device="cpu", cache=tmp_path / "c")
    lower = open_predictor(replace(request, precision="bfloat16"))
    exact = open_predictor(request)
    assert lower.signature != exact.signature
    prompts = asked([2, 3, 5])

    for predictor in (lower, exact):
        list(predictor.draw(volume, [prompts], lambda _: None))
    near, own = (predictor.predict(volume, prompts).probability for predictor in (lower, exact))

    assert len(list((tmp_path / "c").rglob("*.npz"))) == 2 * 4 * 3
    assert ((near > 0.5) == (own > 0.5)).mean() > 0.97
    assert np.abs(near - own).max() > 0


def test_bfloat16_is_refused_where_it_is_not_to_be_had(model, tmp_path, monkeypatch):
    monkeypatch.setattr("samgen.devices.CPU", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text("flags : sse avx2\n")
    with pytest.raises(InputError, match="'bfloat16' needs a device"):
        choose_bf16("bfloat16", torch.device("cpu"))
    assert not choose_bf16("auto", torch.device("cpu"))
    (tmp_path / "cpuinfo").unlink()
    with pytest.raises(InputError, match="as far as can be told"):
        choose_bf16("bfloat16", torch.device("cpu"))


def test_memory_and_size_of_the_picture_are_settings(model, volume, tmp_path):
    model.save_pretrained(tmp_path / "small")
    request = ModelRequest(model=f"sam2:{tmp_path / 'small'}", device="cpu")
    with pytest.raises(InputError, match=r"picture_px: the model of .* 128 px"):
        open_predictor(replace(request, picture_px=256))
    few = open_predictor(replace(request, memory_slices=1, picture_px=SIDE))
    many = open_predictor(request)
    prompts = asked([1, 2, 4, 7])

    one, four = (it.predict(volume, prompts).probability for it in (few, many))

    assert few.signature != many.signature
    assert few.model.config.max_cond_frame_num == 1
    assert not np.allclose(one, four, atol=1e-4)


def found_of(model, volume, prompts, **more):
    predictor = Sam2Predictor(model, name="s", digest="", **more)
    planes = predictor._planes(predictor.features(volume), prompts)
    return {k: (drawn, more) for k, drawn, more in planes}


def test_masks_of_boxes_are_those_of_the_library(model, volume):
    prompts = asked([2, 3, 6])
    found = found_of(model, volume, prompts)
    _, logits = session_of(model, volume, prompts)

    for k in prompts.slices:
        assert found[k][0].shape == (6, *SHAPE[1:])
        own = probability(model, volume, logits[k])[0]
        assert_allclose(found[k][0][0], own, atol=1e-4)
        assert np.ptp(own) > 0.001


@pytest.mark.parametrize("reverse", [False, True])
def test_gaps_are_filled_as_the_library_propagates(model, volume, reverse):
    prompts = asked([1, 2, 5, 8])
    gaps = found_of(model, volume, prompts)
    session, _ = session_of(model, volume, prompts)
    model.config.max_cond_frame_num = MEMORY

    start = 7 if reverse else 0
    for answer in model.propagate_in_video_iterator(
        session, start_frame_idx=start, reverse=reverse
    ):
        k = answer.frame_idx + 1
        if k in prompts.slices:
            continue
        expected = probability(model, volume, answer.pred_masks)[0]
        assert_allclose(gaps[k][0][int(reverse)], expected, atol=1e-4)
        assert np.ptp(expected) > 0.001
        assert "propagation_dice" not in gaps[k][1]
    assert sorted(gaps) == list(range(1, 9))


@pytest.mark.parametrize(
    ("slices", "k", "near", "reverse"),
    [
        ([1, 2, 3, 4, 5, 6, 7, 8], 5, [3, 4, 6, 7], False),
        ([1, 2, 3, 4, 5, 6, 7, 8], 2, [1, 3, 4, 5], True),
        ([0, 3, 4, 8], 3, [0, 4, 8], True),
    ],
)
def test_the_second_mask_is_that_of_the_library_from_the_nearest_boxes(
    model, volume, monkeypatch, slices, k, near, reverse
):
    """From a session that never saw the slice's own box, whatever gaps lie beside it."""
    own, second = Sam2Predictor._expected, {}
    monkeypatch.setattr(
        Sam2Predictor,
        "_expected",
        lambda self, session, frame: second.setdefault(frame, own(self, session, frame)),
    )
    found = found_of(model, volume, asked(slices))
    session, _ = session_of(model, volume, asked(slices), boxed=near)

    expected = model(session, frame_idx=k - slices[0], reverse=reverse).pred_masks

    assert_allclose(second[k - slices[0]], expected, atol=1e-4)
    assert np.ptp(expected.numpy()) > 0.01
    masks = [it.mean(axis=0) > 0.5 for it in (found[k][0], probability(model, volume, expected))]
    shared = 2 * (masks[0] & masks[1]).sum() / max(masks[0].sum() + masks[1].sum(), 1)
    assert found[k][1]["propagation_dice"] == pytest.approx(shared, abs=1e-6, nan_ok=True)


def test_without_memory_each_slice_is_drawn_by_itself(model, volume, monkeypatch):
    prompts = asked([1, 2, 4], interpolated=np.array([False, True, False]))
    _, logits = session_of(model, volume, prompts)
    for part in (model.memory_attention, model.memory_encoder):
        monkeypatch.setattr(part, "forward", lambda *_, **__: pytest.fail("is not needed"))

    found = found_of(model, volume, prompts, memory=0)

    assert sorted(found) == [1, 2, 4]
    for k, (planes, more) in found.items():
        assert_allclose(planes[0], probability(model, volume, logits[k])[0], atol=1e-4)
        assert np.isnan(more["propagation_dice"])


def test_boxes_that_nobody_drew_are_no_prompts(model, volume):
    made_up = asked([1, 2, 3], interpolated=np.array([False, True, False]))

    found, gap = found_of(model, volume, made_up), found_of(model, volume, asked([1, 3]))

    assert_allclose(found[2][0], gap[2][0], atol=1e-6)


def test_one_slice_has_no_neighbours(model, volume):
    found = found_of(model, volume, asked([4]))
    assert np.isnan(found[4][1]["propagation_dice"])


def test_features_are_computed_once_and_kept(model, volume, tmp_path, monkeypatch):
    """For three objects, all prompts and both directions; after a kill only what is missing."""
    calls = []
    encode = model.get_image_features
    monkeypatch.setattr(
        model, "get_image_features", lambda *a, **k: calls.append(1) or encode(*a, **k)
    )
    objects = [asked([1, 2, 4]), asked([2, 3, 4]), asked([1, 4])]

    def drawn(digest):
        kept = Sam2Predictor(model, name="s", digest=digest, cache=tmp_path)
        return kept.draw(volume, objects, lambda _: None)

    stopped = drawn("d")
    next(stopped)
    stopped.close()
    assert len(calls) == 4
    one = list(drawn("d"))
    assert len(calls) == 4
    bare = Sam2Predictor(model, name="s", digest="d").draw(volume, objects, lambda _: None)
    for own, other in zip(one, bare, strict=True):
        assert list(own) == list(other)
        assert all(np.array_equal(own[k].mean, other[k].mean) for k in own)
    assert len(calls) == 4 + 4  # without a cache once for the three
    list(drawn("e"))
    assert len(calls) == 4 + 4 + 4


def test_a_run_with_several_objects_ends_with_the_same_bytes(model, tmp_path, images):
    rows = [[k, "liver", 2, 3, 14, 12] for k in (0, 1, 3)] + [[1, "aorta", 11, 1, 16, 6]]
    one = Sam2Predictor(model, name="s", digest="d")

    first = generate(consensus(*rows), images, tmp_path / "1", predictor=one, settings=MANY)
    kept = Sam2Predictor(model, name="s", digest="d", cache=tmp_path / "c")
    for n in "23":  # by features that are made, and that are read
        generate(consensus(*rows), images, tmp_path / n, predictor=kept, settings=MANY)

    assert files(tmp_path / "1") == files(tmp_path / "2") == files(tmp_path / "3")
    liver = first[first["label"] == "liver"].set_index("slice")
    assert liver.index.tolist() == [0, 1, 2, 3]
    assert liver["interpolated"].tolist() == [False, False, True, False]
    assert first["propagation_dice"].isna().sum() >= 2  # the gap, and an object of one slice


def test_it_is_opened_from_a_folder(model, tmp_path):
    model.save_pretrained(tmp_path / "small")

    opened = open_predictor(ModelRequest(model=f"sam2:{tmp_path / 'small'}", device="cpu"))

    assert isinstance(opened.model, Sam2VideoModel)
    assert opened.name == "small"
    assert opened.in_3d
    assert (
        opened.signature
        == open_predictor(ModelRequest(model=f"sam2:{tmp_path / 'small'}", device="cpu")).signature
    )


STUDY = """
[study]
name = "ct"
[labels]
0 = { name = "liver", value = 5 }
[annotations]
format = "table"
path = "boxes.csv"
[annotations.columns]
COLUMNS
[images]
path = "ct.nii.gz"
plane = "axial"
picture = "transverse"
window = { level = 40, width = 400 }
[agree]
bootstrap = 0
[masks]
prompts = 3
"""
COLUMNS = ["case", "slice", "rater", "label", "x0", "y0", "x1", "y1"]
STUDY = STUDY.replace("COLUMNS", "\n".join(f'{name} = "{name}"' for name in COLUMNS))


def test_a_real_ct_is_drawn_and_its_licence_told(model, data, tmp_path):
    """Mechanics only: the weights are random."""
    source = data / "totalsegmentator_ct"
    shutil.copy(source / "ct.nii.gz", tmp_path / "ct.nii.gz")
    labels, _ = read_labels(source / "seg.nii.gz", plane="axial")
    liver = to_pictures(labels, "transverse") == 5
    rows = []
    for k in np.flatnonzero(liver.any(axis=(1, 2)))[4:12]:
        rows_, columns = np.flatnonzero(liver[k].any(1)), np.flatnonzero(liver[k].any(0))
        box = [columns[0], rows_[0], columns[-1] + 1, rows_[-1] + 1]
        rows += [("ct", k, rater, "liver", *box) for rater in "ab" if k % 4]
    pd.DataFrame(rows, columns=COLUMNS).to_csv(tmp_path / "boxes.csv", index=False)
    (tmp_path / "study.toml").write_text(STUDY)
    model.save_pretrained(tmp_path / "small")
    study = tmp_path / "study.toml"

    refused = call("masks", study, "--model", f"medsam2:{tmp_path / 'small'}")
    assert refused.exit_code == 2
    assert "CC-BY-SA-4.0" in refused.output
    study.write_text(STUDY + 'allow_licences = ["CC-BY-SA-4.0"]\n')
    done = call("masks", study, "--model", f"medsam2:{tmp_path / 'small'}")

    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path / "out" / "masks.csv")
    asked_for = {k for _, k, *_ in rows}
    assert set(table["slice"]) >= asked_for
    assert set(table.loc[table["interpolated"], "slice"]).isdisjoint(asked_for)
    assert table["interpolated"].any()
    assert set(table["licence"]) == {"CC-BY-SA-4.0"}
    assert table.loc[~table["interpolated"], "propagation_dice"].notna().all()
    assert pd.read_csv(tmp_path / "out" / "risk.csv")["risk"].notna().all()
    assert call("gate", study).exit_code in {0, 3}
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["licences"] == ["CC-BY-SA-4.0"]
