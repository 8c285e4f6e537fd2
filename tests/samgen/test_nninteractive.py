"""nnInteractive with random weights: equal to the library's own calls, in every orientation."""

import contextlib
import dataclasses
import itertools
import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import SimpleITK
from scipy import ndimage

torch = pytest.importorskip("torch")
pytest.importorskip("nnInteractive", reason="the extra 'interactive' is not installed")

from nnInteractive.inference.inference_session import nnInteractiveInferenceSession  # noqa: E402
from nnInteractive.interaction.point import PointInteraction_stub  # noqa: E402

from crowdqc.config import Window  # noqa: E402
from crowdqc.findings import InputError  # noqa: E402
from crowdqc.schema import INTERPOLATED  # noqa: E402
from crowdqc.volumes import from_pictures, read_geometry, write_labels  # noqa: E402
from samgen.case import Case  # noqa: E402
from samgen.generate import Task  # noqa: E402
from samgen.nninteractive_state import load_session  # noqa: E402
from samgen.predictor import ModelRequest, Prompts  # noqa: E402
from samgen.predictors import licence_of, open_predictor  # noqa: E402
from samgen.predictors.nninteractive import SEED, inwards, voxels  # noqa: E402
from samgen.settings import MaskSettings, PromptSettings  # noqa: E402
from samgen.volume_predictor import ObjectPrompts, Volume  # noqa: E402
from tests.commands import call  # noqa: E402
from tests.samgen.painting import LABELS, consensus, files, generate  # noqa: E402
from tests.samgen.small_nninteractive import plans, write_model  # noqa: E402
from tests.studies import TABLE, VOLUMES, write_boxes  # noqa: E402
from tests.turns import TURNS  # noqa: E402

SHAPE = (9, 40, 56)
"""Not square, and not as deep as wide."""
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("nninteractive") / "small", seed=2)


@pytest.fixture(scope="module")
def model(folder):
    return open_predictor(
        ModelRequest(model=f"nninteractive:{folder}", weights=folder, device="cpu")
    )


@pytest.fixture(scope="module")
def volume():
    _, y, x = np.indices(SHAPE)
    grey = np.random.default_rng(0).normal(60, 10, SHAPE)
    grey += 150 * (((y - 20) / 14) ** 2 + ((x - 28) / 24) ** 2 < 1)
    values = grey.astype(np.float32)
    return Volume(grey.clip(0, 255).astype(np.uint8), (3.0, 1.0, 0.7), lambda: values)


def asked(slices, box=(10.0, 10, 38, 30), points=None, **more):
    points = {k: np.array(some, np.float64) for k, some in (points or {}).items()}
    some = [points.get(k, np.zeros((0, 3))) for k in slices]
    one = [Prompts(np.array(box), np.array([box]), (1,), each) for each in some]
    n = len(slices)
    given = {"interpolated": np.zeros(n, bool), "empty": frozenset(), "tracked": True} | more
    return ObjectPrompts(
        label="organ",
        slices=tuple(slices),
        prompts=tuple(one),
        spread=np.full((n, 4), np.nan),
        raters=(np.zeros((0, 4)),) * n,
        again=lambda *_: one[0],
        **given,
    )


def own_session(folder):
    with contextlib.redirect_stdout(None):
        session = nnInteractiveInferenceSession(CPU, torch_n_threads=torch.get_num_threads())
        session.initialize_from_trained_model_folder(str(folder))
    return session


def drawn_by(session, image, boxes, points=(), scribbles=()):
    """The library's own calls: an image, points, boxes, and one prediction at the last box."""
    found = np.zeros(image.shape, np.uint8)
    with contextlib.redirect_stdout(None):
        session.set_image(image[None])
        session.set_target_buffer(found)
        for place, positive in points:
            session.add_point_interaction(place, positive, run_prediction=False)
        for line, positive in scribbles:
            session.add_scribble_interaction(line, positive, run_prediction=False)
        np.random.seed(SEED)  # noqa: NPY002 - it chooses patches by these numbers
        for n, box in enumerate(boxes, start=1):
            session.add_bbox_interaction(box, True, run_prediction=n == len(boxes))
    return found


def whole(prediction):
    """Masks on all pixels of the slices."""
    shown = np.zeros((len(prediction.slices), *SHAPE[1:]), np.float32)
    shown[:, *prediction.region] = prediction.probability[0]
    return shown


@pytest.mark.parametrize("width", [14, 46])
def test_masks_are_those_of_the_library(folder, model, volume, width):
    """The wide box is seen from further away, and its mask is refined."""
    prompts = asked([2, 3, 6], box=(5.0, 10, 5 + width, 30))

    found = model.predict(volume, prompts)

    boxes = [[[k, k + 1], [10, 30], [5, 5 + width]] for k in inwards(prompts.slices)]
    own = drawn_by(own_session(folder), volume.intensities, boxes)
    assert found.slices == (2, 3, 4, 5, 6)
    np.testing.assert_array_equal(whole(found) > 0.5, own[2:7] == 1)
    assert own[2:7].any()
    assert not own[2:7].all()
    assert np.unique(found.probability).size > 1000


def test_a_refined_mask_has_the_probabilities_of_its_patches(folder, model, volume):
    """What is drawn in several patches: the library's last answer of each voxel counts."""
    session = own_session(folder)
    session.MAX_AUTOZOOM_FACTOR = model._session.MAX_AUTOZOOM_FACTOR = 1.3
    calls, places = [], []
    session.network.register_forward_hook(lambda *call: calls.append(call[-1][0]))
    planned = session._plan_refinement_bboxes
    session._plan_refinement_bboxes = lambda *a: places.extend(planned(*a)) or places
    box = (0.0, 0, 56, 40)

    found = whole(model.predict(volume, asked([0, 4, 8], box=box)))
    boxes = [[[k, k + 1], [0, 40], [0, 56]] for k in inwards([0, 4, 8])]
    drawn_by(session, volume.intensities, boxes)

    expected = np.zeros(SHAPE, np.float32)
    for logits, place in zip(calls[-len(places) :], places, strict=True):
        soft = logits.softmax(dim=0)[1].numpy()
        low = [max(first, 0) for first, _ in place]
        high = [min(stop, n) for (_, stop), n in zip(place, SHAPE, strict=True)]
        cut = tuple(
            slice(a - first, b - first) for a, b, (first, _) in zip(low, high, place, strict=True)
        )
        expected[tuple(map(slice, low, high))] = soft[cut]
    assert places
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_points_are_those_of_the_library(folder, model, volume):
    points = {3: [[20.5, 18.2, 1], [50, 35, 0]], 6: [[30, 12, 1]]}
    prompts = asked([2, 3, 6], points=points)
    without = model.predict(volume, asked([2, 3, 6]))

    found = model.predict(volume, prompts)

    order = inwards(prompts.slices)
    boxes = [[[k, k + 1], [10, 30], [10, 38]] for k in order]
    placed = [
        ([k, int(y), int(x)], bool(positive)) for k in order for x, y, positive in points.get(k, [])
    ]
    own = drawn_by(own_session(folder), volume.intensities, boxes, placed)
    np.testing.assert_array_equal(whole(found) > 0.5, own[2:7] == 1)
    assert np.abs(whole(found) - whole(without)).max() > 0.001


def test_scribbles_are_those_of_the_library(folder, model, volume):
    lines = (np.array([[15.5, 14.2, 1], [30, 14, 1], [30, 25, 1]]), np.array([[50.0, 35, 0]] * 2))
    prompts = asked([2, 3, 6])
    own = list(prompts.prompts)
    own[1] = dataclasses.replace(own[1], scribbles=lines)
    prompts = dataclasses.replace(prompts, prompts=tuple(own))
    without = model.predict(volume, asked([2, 3, 6]))

    found = model.predict(volume, prompts)

    on, beside = np.zeros((2, *SHAPE), np.uint8)
    on[3, 14, 15:31] = on[3, 14:26, 30] = beside[3, 35, 50] = 1
    session = own_session(folder)
    wide = max(session.preferred_scribble_thickness)
    for image in (on, beside):
        image[3] = ndimage.binary_dilation(image[3], iterations=wide // 2)
    boxes = [[[k, k + 1], [10, 30], [10, 38]] for k in inwards(prompts.slices)]
    placed = [(on, True), (beside, False)]
    drawn = drawn_by(session, volume.intensities, boxes, scribbles=placed)
    np.testing.assert_array_equal(whole(found) > 0.5, drawn[2:7] == 1)
    assert np.abs(whole(found) - whole(without)).max() > 0.001


def test_a_network_that_was_given_by_hand_draws_the_same(folder, model, volume):
    loaded = load_session(folder / "fold_0" / "checkpoint_final.pth", CPU)
    with contextlib.redirect_stdout(None):
        session = nnInteractiveInferenceSession(CPU, torch_n_threads=torch.get_num_threads())
        session.manual_initialization(
            loaded.network,
            loaded.plans_manager,
            loaded.configuration_manager,
            loaded.dataset_json,
            "by hand",
        )
    session._apply_capability({})
    session.point_interaction = PointInteraction_stub(2, use_distance_transform=True)
    session.interaction_decay, session.pad_mode_data = 0.9, "constant"
    boxes = [[[k, k + 1], [10, 30], [10, 38]] for k in inwards([2, 3, 6])]

    own = drawn_by(session, volume.intensities, boxes)

    found = whole(model.predict(volume, asked([2, 3, 6])))
    np.testing.assert_array_equal(found > 0.5, own[2:7] == 1)


def test_boxes_that_nobody_drew_prompt_nothing(model, volume):
    made_up = np.array([False, True, False, True])
    found = model.predict(volume, asked([2, 3, 4, 7], interpolated=made_up))
    other = model.predict(volume, asked([2, 4]))

    assert found.slices == (2, 3, 4, 5, 6, 7)
    np.testing.assert_array_equal(whole(found)[:3], whole(other))


def test_an_object_does_not_depend_on_those_before_it(model, volume):
    first = whole(model.predict(volume, asked([2, 3, 6])))
    model.predict(volume, asked([0, 8], box=(0.0, 0, 20, 20)))

    np.testing.assert_array_equal(whole(model.predict(volume, asked([2, 3, 6]))), first)


def test_the_order_of_boxes():
    assert inwards([4]) == [4]
    assert inwards([1, 2]) == [2, 1]
    assert inwards(range(9)) == [7, 5, 3, 1, 6, 2, 8, 0, 4]


CODES = ["".join(code) for code in itertools.product("LR", "PA", "IS")]
CODES = ["".join(order) for code in CODES for order in itertools.permutations(code)]


def stored(path, codes, shape=(28, 36, 9)):
    """A volume whose axes run along `codes`, with a bright block, and millimetres that differ."""
    affine = np.diag([0.7, 1.0, 3.0, 1.0])
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(codes)
    )
    values = np.random.default_rng(3).normal(50, 8, shape)
    values[6:22, 8:30, 2:7] += 160
    turned = nib.orientations.apply_orientation(values, turn)
    affine = affine @ nib.orientations.inv_ornt_aff(turn, shape)
    nib.save(nib.Nifti1Image(turned.astype(np.float32), affine), path)
    return path


def read_with_itk(path):
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))


def painted(path, box, k, settings, like):
    """The voxels of a box on a picture, by way of a mask that is written and read again."""
    i, j, n = read_geometry(like, plane=settings.plane).shape
    swapped = settings.picture in {"rot90", "rot270", "transpose", "transverse"}
    pictures = np.zeros((n, j, i) if swapped else (n, i, j), np.uint8)
    x0, y0, x1, y1 = box
    pictures[k, y0:y1, x0:x1] = 1
    write_labels(path, from_pictures(pictures, settings.picture), like=like, plane=settings.plane)
    at = np.argwhere(read_with_itk(path))
    return [list(span) for span in zip(at.min(0).tolist(), (at.max(0) + 1).tolist(), strict=True)]


@pytest.mark.parametrize("codes", CODES)
def test_boxes_lie_where_they_lie_in_the_file(tmp_path, codes):
    number = CODES.index(codes)
    plane = ["axial", "coronal", "sagittal", "stored"][number % 4]
    image = stored(tmp_path / "v.nii.gz", codes)
    for picture in list(TURNS)[number % 2 :: 2]:
        settings = MaskSettings(plane=plane, picture=picture)
        case = Case(
            "v",
            consensus([0, "liver", 1, 2, 4, 6]),
            image,
            Task(labels={}, predictor=None, settings=settings),
        )
        volume = case.read()

        np.testing.assert_allclose(
            volume.to_file_axes(volume.intensities), read_with_itk(image), atol=1e-3
        )
        place = voxels(volume, [(3, 4), (2, 6), (1, 4)])
        expected = painted(tmp_path / "box.nii.gz", (1, 2, 4, 6), 3, settings, image)
        assert [list(span) for span in place] == expected
        back = volume.from_file_axes(volume.to_file_axes(volume.pictures))
        np.testing.assert_array_equal(back, volume.pictures)


@pytest.mark.parametrize(
    ("codes", "plane", "picture"),
    [("RAS", "stored", "rot90"), ("ILP", "axial", "transverse"), ("ASR", "coronal", "fliplr")],
)
def test_masks_in_files_are_those_of_the_library(folder, model, tmp_path, codes, plane, picture):
    image = stored(tmp_path / "v.nii.gz", codes)
    settings = MaskSettings(
        plane=plane,
        picture=picture,
        window=Window(level=100, width=300),
        prompts=PromptSettings(n_prompts=1),
    )
    slices = [2, 4, 5]
    rows = consensus(*([k, "liver", 2, 3, 8, 7] for k in slices), case="v")

    generate(rows, {"v": image}, tmp_path / "out", predictor=model, settings=settings)

    boxes = [
        painted(tmp_path / "box.nii.gz", (2, 3, 8, 7), k, settings, image) for k in inwards(slices)
    ]
    own = drawn_by(own_session(folder), read_with_itk(image), boxes)
    found = read_with_itk(tmp_path / "out" / "v.nii.gz")
    axis = next(n for n, (first, stop) in enumerate(boxes[0]) if stop - first == 1)
    asked_for = [box[axis][0] for box in boxes]
    between = list(range(min(asked_for), max(asked_for) + 1))
    np.testing.assert_array_equal(
        found.take(between, axis) == LABELS["liver"], own.take(between, axis) == 1
    )
    assert (found > 0).any()


def test_a_run_that_was_cut_short_ends_with_the_same_bytes(folder, model, tmp_path, monkeypatch):
    images = {case: stored(tmp_path / f"{case}.nii.gz", "RAS") for case in "ab"}
    settings = MaskSettings(
        window=Window(level=100, width=300), prompts=PromptSettings(n_prompts=1)
    )
    rows = pd.concat(
        [
            consensus(
                *([k, "liver", 4, 5, 28, 22] for k in (1, 3, 5)),
                [3, "aorta", 2, 2, 9, 8],
                case=case,
            )
            for case in images
        ],
        ignore_index=True,
    )
    rows.loc[rows["slice"] == 5, "method"] = INTERPOLATED
    whole_run = generate(rows, images, tmp_path / "1", predictor=model, settings=settings)
    fresh = open_predictor(ModelRequest(model=f"nninteractive:{folder}", device="cpu"))
    left = [1, 1, 1]
    predict = type(fresh).predict

    def killed(self, *asked_for):
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return predict(self, *asked_for)

    monkeypatch.setattr(type(fresh), "predict", killed)
    with pytest.raises(KeyboardInterrupt):
        generate(rows, images, tmp_path / "2", predictor=fresh, settings=settings)
    assert (tmp_path / "2" / "a.json").exists()
    assert not (tmp_path / "2" / "b.json").exists()
    monkeypatch.setattr(type(fresh), "predict", predict)

    table = generate(rows, images, tmp_path / "2", predictor=fresh, settings=settings)

    pd.testing.assert_frame_equal(table, whole_run)
    assert files(tmp_path / "1") == files(tmp_path / "2")
    assert table["entropy"].gt(0).all()


def test_its_licence_binds_what_is_made_with_it(folder):
    assert licence_of("nninteractive") == "CC-BY-NC-SA-4.0"
    assert licence_of(f"nninteractive:{folder}") == "CC-BY-NC-SA-4.0"


def study_of(folder, weights):
    """Two cases of two raters, to be drawn by nnInteractive from the command line."""
    rows = []
    for case in "ab":
        stored(folder / f"{case}.nii.gz", "RAS")
        rows += [
            (case, k, rater, "liver", 4 + n, 5, 28 - n, 22)
            for k in (1, 2, 3)
            for n, rater in enumerate(("AK", "BL"))
        ]
    masks = f'[masks]\nmodel = "nninteractive:{weights}"\n'
    return write_boxes(folder, rows, f"{TABLE}{VOLUMES}[agree]\nbootstrap = 0\n{masks}")


def test_its_licence_is_refused_until_it_is_allowed_and_goes_with_the_masks(folder, tmp_path):
    """From `masks` to manifest, dataset and report, as a user runs them."""
    study, licence = study_of(tmp_path, folder), "CC-BY-NC-SA-4.0"
    text = study.read_text(encoding="utf-8")
    out = tmp_path / "out"
    for model in (f"nninteractive:{folder}", "nninteractive"):
        refused = call("masks", study, "--model", model)
        assert refused.exit_code == 2
        assert f"the weights of '{model}' have the licence {licence}" in refused.stderr
        assert "[masks] allow_licences" in refused.stderr
    study.write_text(text + f'second_model = "nninteractive:{folder}"\n')
    assert call("masks", study, "--model", "intensity").exit_code == 2
    assert not (out / "masks").exists()

    study.write_text(text + f'allow_licences = ["{licence}"]\n', encoding="utf-8")
    done = call("masks", study)

    assert done.exit_code == 0, done.output
    table = pd.read_csv(out / "masks.csv")
    assert set(table["case"]) == {"a", "b"}
    assert set(table["licence"]) == {licence}
    assert call("gate", study).exit_code in {0, 3}
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["licences"] == [licence]
    found = call("dataset", study)
    assert found.exit_code == 0, found.output
    (record, *_) = out.rglob("dataset.json")
    assert json.loads(record.read_text(encoding="utf-8"))["crowdqc"]["licences"] == [licence]
    assert call("report", study).exit_code == 0
    assert licence in (out / "report.html").read_text(encoding="utf-8")
    study.write_text(text, encoding="utf-8")  # what is no longer allowed is no longer used
    for command in ("masks", "dataset"):
        refused = call(command, study)
        assert refused.exit_code == 2, command
        assert licence in refused.stderr


def test_other_weights_and_plans_are_another_model(tmp_path, folder, model):
    def signature(where):
        return open_predictor(ModelRequest(model=f"nninteractive:{where}", device="cpu")).signature

    other = write_model(tmp_path / "a", seed=3)

    assert signature(folder) == model.signature
    assert model.name == "small"
    assert signature(other) != model.signature
    before = signature(other)
    info = other / "inference_session_class.json"
    info.write_text(json.dumps(json.loads(info.read_text()) | {"interaction_decay": 0.5}))
    assert signature(other) != before


class Bomb:
    def __reduce__(self):
        return print, ("ran",)


def test_a_checkpoint_with_a_program_is_refused_and_not_run(tmp_path, capsys):
    folder = write_model(tmp_path / "m")
    path = folder / "fold_0" / "checkpoint_final.pth"
    record = torch.load(path, weights_only=False)
    torch.save(record | {"init_args": Bomb()}, path)

    with pytest.raises(InputError, match="nothing but numbers"):
        load_session(path, CPU)
    assert "ran" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "change",
    [
        {"network_class_name": "os.system"},
        {"network_class_name": "dynamic_network_architectures.architectures.unet.np.load"},
        {"arch_kwargs": {"conv_op": "os.getcwd"}},
        {"arch_kwargs": {"x": "builtins.print"}, "_kw_requires_import": ["x"]},
        {"arch_kwargs": None},
    ],
)
def test_plans_that_name_other_things_are_refused(tmp_path, folder, change):
    other = tmp_path / "m"
    other.mkdir()
    for one in folder.iterdir():
        (other / one.name).symlink_to(one)
    (other / "plans.json").unlink()
    content = plans()
    content["configurations"]["3d_fullres"]["architecture"] |= change
    (other / "plans.json").write_text(json.dumps(content))

    with pytest.raises(InputError, match=r"plans\.json: (names|is not a plan)"):
        load_session(other / "fold_0" / "checkpoint_final.pth", CPU)


def test_folders_of_something_else_are_refused(tmp_path, folder):
    with pytest.raises(InputError, match=r"one fold_X/checkpoint_final\.pth; got 0"):
        open_predictor(ModelRequest(model=f"nninteractive:{tmp_path}", device="cpu"))
    other = write_model(tmp_path / "m")
    (other / "inference_session_class.json").unlink()
    with pytest.raises(InputError, match="does not hold an nnInteractive"):
        open_predictor(ModelRequest(model=f"nninteractive:{other}", device="cpu"))
    (other / "plans.json").unlink()
    with pytest.raises(InputError, match=r"plans\.json"):
        open_predictor(ModelRequest(model=f"nninteractive:{other}", device="cpu"))
