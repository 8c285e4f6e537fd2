"""Models that learn: what they gain, what is written, and that it draws as it did in memory."""

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
segment_anything = pytest.importorskip("segment_anything")

from safetensors.torch import load_file, save_file  # noqa: E402

from crowdqc.findings import InputError  # noqa: E402
from crowdqc.volumes import read_labels, to_pictures  # noqa: E402
from samgen import weights  # noqa: E402
from samgen.adapt import Plan, adapt_model, run  # noqa: E402
from samgen.adapt.gold import Spread  # noqa: E402
from samgen.adapt.run import learner_of  # noqa: E402
from samgen.adapt.tensors import mask_loss  # noqa: E402
from samgen.cards import card_path, write_card  # noqa: E402
from samgen.generate import Task, generate_masks  # noqa: E402
from samgen.predictor import ModelRequest  # noqa: E402
from samgen.predictors import licence_of, open_predictor, uses_gpu  # noqa: E402
from samgen.predictors.intensity import IntensityPredictor  # noqa: E402
from samgen.predictors.intensity3d import Intensity3DPredictor  # noqa: E402
from samgen.settings import LEARNED, IntensitySettings  # noqa: E402
from tests.samgen.adapt.golden import MASKS, NOTHING, examples  # noqa: E402
from tests.samgen.conftest import small_sam  # noqa: E402

SIDE = 96


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Six cases, the last three held out."""
    return examples(tmp_path_factory.mktemp("cases"), "abcdef")


@pytest.fixture(scope="module")
def faint(tmp_path_factory):
    """Eight cases whose organ hardly differs from what is round it."""
    return examples(tmp_path_factory.mktemp("faint"), "abcdefgh", contrast=12)


def gentle_sam():
    """A SAM whose decoder begins with small weights, from which it learns quickly."""
    sam = small_sam(1, side=SIDE)
    with torch.no_grad():
        for name, one in sam.named_parameters():
            if one.ndim > 1 and "norm" not in name and name.startswith("mask_decoder"):
                one.mul_(0.3)
    return sam


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """A checkpoint of an architecture that the registry is made to know."""
    monkeypatch.setitem(weights.ARCHITECTURES, (48, 3), "small")
    monkeypatch.setitem(segment_anything.sam_model_registry, "small", lambda: small_sam(2, SIDE))
    path = tmp_path / "base" / "own.pth"
    path.parent.mkdir()
    torch.save(gentle_sam().state_dict(), path)
    return path


def adapted(model, cases, **plan):
    settings = {"steps": 2, "rate": 1e-3} | plan
    return adapt_model(model, cases[:3], held_out=cases[3:], spread=NOTHING, plan=Plan(**settings))


def written(outcome, path, model, base, licence=""):
    """The path of what was learned, with its card."""
    path = path.with_suffix(outcome.ending)
    outcome.write(path)
    card = {"model": model, "base": base, "licence": licence, "train": ["a"], "held_out": ["d"]}
    write_card(path, card)
    return path


def opened(path, **more):
    return open_predictor(ModelRequest(model=str(path), device="cpu", **more))


def drawn(model, case):
    return [model.predict(model.encode(case.volume.pictures[k]), BOXES).probability for k in (1, 3)]


BOXES = np.array([[12.0, 8, 33, 28], [10, 9, 30.5, 27]])


@pytest.mark.parametrize(
    ("kind", "gain"),
    # In 3D a learned model of pixels has drawn most of the faint organ already.
    [(IntensityPredictor, 0.01), (Intensity3DPredictor, 0.005)],
)
def test_the_embedded_model_learns_where_the_organ_is_faint(faint, tmp_path, kind, gain):
    few = faint[2:] if kind is IntensityPredictor else faint[2:7]
    outcome = adapt_model(kind(), few[:1], held_out=few[1:], spread=NOTHING, plan=Plan(steps=2))
    path = written(outcome, tmp_path / "learned", kind.name, "")

    found = outcome.choice
    assert found.step > 0
    assert found.after.mean() > found.before.mean() + gain
    again = opened(path)
    scores = [case.dice(again)["organ"] for case in few[1:]]
    assert np.mean(scores) == outcome.means[found.step]
    assert set(json.loads(path.read_text())["labels"]["organ"]) <= set(LEARNED)
    assert again.name == "learned"
    assert again.signature != kind().signature
    assert again.about("other") is again
    assert not uses_gpu(str(path))


def test_a_case_is_scored_as_its_masks_are_drawn(faint, tmp_path):
    case, one = faint[4], MASKS.prompts
    settings = replace(MASKS, prompts=replace(one, n_prompts=1, prompt_boxes="fused"))
    task = Task(labels={"organ": 3}, predictor=IntensityPredictor(), settings=settings)
    generate_masks(case.prompts, task, images={"e": case.case.image}, out=tmp_path)
    drawn = to_pictures(read_labels(tmp_path / "e.nii.gz")[0], "identity") == 3
    true = case.truth == 1

    found = case.dice(IntensityPredictor())["organ"]

    assert found == 2 * (drawn & true).sum() / (drawn.sum() + true.sum())
    assert case.dice(IntensityPredictor(), every=2)["organ"] == pytest.approx(
        2 * (drawn & true)[2::2].sum() / (drawn[2::2].sum() + true[2::2].sum())
    )


def test_where_nothing_is_to_be_gained_nothing_is(cases):
    outcome = adapted(IntensityPredictor(), cases, steps=2)

    assert not outcome.choice.better
    assert outcome.choice.before.mean() > 0.97


def test_a_model_of_tensors_that_learns_badly_is_refused(cases, checkpoint):
    outcome = adapted(opened(f"sam:{checkpoint}"), cases, steps=2, rate=1e-7)

    assert not outcome.choice.better


def test_a_decoder_learns_and_is_opened_as_it_was_in_memory(cases, checkpoint, tmp_path):
    model = opened(f"sam:{checkpoint}", cache=tmp_path / "cache")
    before = {name: one.clone() for name, one in model.sam.state_dict().items()}
    outcome = adapted(model, cases, steps=16, rate=3e-3, patience=16)
    path = written(outcome, tmp_path / "learned", f"sam:{checkpoint}", model.digest, "MIT")

    assert outcome.choice.better
    assert outcome.choice.gain[0] > 0.2
    tensors = load_file(path)
    assert tensors.keys() < before.keys()
    assert all(name.startswith("mask_decoder.") for name in tensors)
    state = model.sam.state_dict()
    assert all(torch.equal(state[n], before[n]) for n in before if "mask_decoder" not in n)

    n_kept = len(list((tmp_path / "cache").glob("*.npz")))
    again = opened(path, cache=tmp_path / "cache")
    model.sam.load_state_dict(before | tensors)
    for one, other in zip(drawn(model, cases[3]), drawn(again, cases[3]), strict=True):
        assert np.array_equal(one, other)
    assert len(list((tmp_path / "cache").glob("*.npz"))) == n_kept, "embeddings are the base's"
    assert again.name == "learned"
    assert licence_of(str(path)) == "MIT"
    scores = [case.dice(again)["organ"] for case in cases[3:]]
    assert np.mean(scores) == pytest.approx(outcome.means[outcome.choice.step], abs=1e-9)


def test_low_rank_matrices_are_added_to_the_weights_that_they_are_for(cases, checkpoint, tmp_path):
    pytest.importorskip("peft")
    model = opened(f"sam:{checkpoint}", cache=tmp_path / "cache")
    learner = learner_of(
        model, cases[:1], spread=NOTHING, plan=Plan(method="lora", rate=3e-2, rank=2)
    )
    untouched = drawn(learner.model, cases[3])
    assert [
        np.allclose(a, b, atol=1e-5)
        for a, b in zip(untouched, drawn(opened(f"sam:{checkpoint}"), cases[3]), strict=True)
    ]
    learner.step()
    path = tmp_path / "learned.safetensors"
    learner.write(learner.snapshot(), path)
    card = {"model": f"sam:{checkpoint}", "base": model.digest, "licence": ""}
    write_card(path, {**card, "train": [], "held_out": []})

    again = opened(path, cache=tmp_path / "cache")

    names = [n for n in load_file(path) if n.startswith("image_encoder.")]
    assert names == [f"image_encoder.blocks.{k}.attn.qkv.weight" for k in (1, 2)]
    for one, other, old in zip(
        drawn(learner.model, cases[3]), drawn(again, cases[3]), untouched, strict=True
    ):
        np.testing.assert_allclose(one, other, atol=2e-5)
        assert np.abs(one - old).max() > 1e-3


def test_what_was_learned_before_stays_when_it_is_learned_from_again(cases, checkpoint, tmp_path):
    first = written(
        adapted(opened(f"sam:{checkpoint}"), cases, steps=1, rate=1e-2, patience=9),
        tmp_path / "first",
        f"sam:{checkpoint}",
        weights.digest_of(checkpoint),
    )
    learner = learner_of(opened(first), cases[:1], spread=NOTHING, plan=Plan())

    assert learner.snapshot().keys() == load_file(first).keys()
    learner.step()
    assert learner.snapshot().keys() >= load_file(first).keys()


def test_labels_that_are_not_learned_from_keep_their_constants(faint):
    own = IntensitySettings().having({"coupling": 3.0})
    learner = learner_of(
        IntensityPredictor(labels={"other": own}), faint[:1], spread=NOTHING, plan=Plan()
    )
    learner.step()

    assert learner.snapshot()["other"] == {"coupling": 3.0}
    assert set(learner.snapshot()) == {"organ", "other"}


def test_prompts_stray_as_far_as_raters_do(cases, checkpoint, monkeypatch):
    shares = np.array([0.01, 0.02, 0.04, 0.08])
    plan = Plan(rate=1e-9)
    learner = learner_of(
        opened(f"sam:{checkpoint}"),
        cases[:3],
        spread=Spread({"organ": shares}, None),
        plan=plan,
    )
    seen = []
    monkeypatch.setattr(
        learner, "_loss", lambda *asked: _remembered(learner, seen, asked[0], asked[2])
    )
    for _ in range(60):
        learner.step()

    found = np.array(seen)
    assert found.std(axis=0) == pytest.approx(shares, rel=0.15)
    assert np.abs(found.mean(axis=0)).max() < 0.01
    assert len(np.unique(found[:, 3].round(9))) == len(found), "moved anew in each epoch"


def _remembered(learner, seen, example, objects):
    for one in objects:
        side = np.tile(one.box[2:] - one.box[:2], 2)
        seen.append((learner._box(example.case.name, one) - one.box) / side)
    return torch.zeros(1, requires_grad=True).sum()


def test_sam2_learns_and_is_opened_as_it_was_in_memory(cases, tmp_path):
    pytest.importorskip("transformers")
    from tests.samgen.small_sam2 import small_model

    small_model().save_pretrained(tmp_path / "base")
    model = opened(f"sam2:{tmp_path / 'base'}", cache=tmp_path / "cache")
    outcome = adapted(model, cases, steps=2)
    path = written(outcome, tmp_path / "learned", f"sam2:{tmp_path / 'base'}", model.digest)

    assert outcome.choice.better
    names = load_file(path).keys()
    assert all(name.startswith("mask_decoder.") and ".conv_s" not in name for name in names)
    n_kept = len(list((tmp_path / "cache").glob("*.npz")))
    again = opened(path, cache=tmp_path / "cache")
    scores = [case.dice(again)["organ"] for case in cases[3:]]
    assert np.mean(scores) == pytest.approx(outcome.means[outcome.choice.step], abs=1e-9)
    assert len(list((tmp_path / "cache").glob("*.npz"))) == n_kept


def test_sam2_learns_by_low_rank_matrices(cases, tmp_path):
    pytest.importorskip("peft")
    pytest.importorskip("transformers")
    from tests.samgen.small_sam2 import small_model

    small_model().save_pretrained(tmp_path / "base")
    model = opened(f"sam2:{tmp_path / 'base'}")
    outcome = adapted(model, cases, steps=1, method="lora", rate=3e-3)
    path = written(outcome, tmp_path / "learned", f"sam2:{tmp_path / 'base'}", model.digest)

    assert any(".attn.qkv.weight" in name for name in load_file(path))
    again = opened(path)
    scores = [case.dice(again)["organ"] for case in cases[3:]]
    assert np.mean(scores) == pytest.approx(outcome.means[outcome.choice.step], abs=0.005)


@pytest.mark.parametrize("kind", ["constants", "decoder", "lora", "sam2"])
def test_a_training_that_was_killed_ends_with_the_same_bytes(
    cases, faint, checkpoint, tmp_path, monkeypatch, kind
):
    """Killed after its second step, which is not repeated."""
    if kind == "lora":
        pytest.importorskip("peft")
    if kind == "constants":
        some, begin = [faint[2], *faint[2:6]], IntensityPredictor
    elif kind == "sam2":
        pytest.importorskip("transformers")
        from tests.samgen.small_sam2 import small_model

        small_model().save_pretrained(tmp_path / "small")
        some, begin = cases, lambda: opened(f"sam2:{tmp_path / 'small'}")
    else:
        some, begin = cases, lambda: opened(f"sam:{checkpoint}")
    plan = Plan(steps=3, rate=3e-3, method="lora" if kind == "lora" else "decoder", rank=2)
    file, scored = tmp_path / "one.training", []
    scores = run._scores
    monkeypatch.setattr(run, "_scores", lambda *a: scored.append(1) or scores(*a))

    def learn(path, progress=lambda *_: None):
        return adapt_model(
            begin(),
            some[:1],
            held_out=some[1:4],
            spread=NOTHING,
            plan=plan,
            progress=progress,
            checkpoint=path,
        )

    def bytes_of(outcome, name):
        outcome.write(tmp_path / name)
        return (tmp_path / name).read_bytes()

    def kill(_, steps):
        if len(scored) == 3:
            raise KeyboardInterrupt

    whole = learn(None)
    n_whole = len(scored)
    scored.clear()
    with pytest.raises(KeyboardInterrupt):
        learn(file, kill)
    assert len(scored) == 3
    again = learn(file)

    assert len(scored) == n_whole
    assert again.means == whole.means
    assert bytes_of(again, "again") == bytes_of(whole, "whole")
    if kind == "constants":  # damaged: from the beginning
        file.write_bytes(file.read_bytes()[:-1] + b"?")
        scored.clear()
        assert learn(file).means == whole.means
        assert len(scored) == n_whole


def test_the_loss_of_a_mask_is_what_it_says():
    logits = torch.tensor([[[2.0, -1.0], [0.5, -3.0]]])
    target = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    soft = 1 / (1 + np.exp(-logits.numpy()[0]))
    true = target.numpy()[0]
    entropy = -(true * np.log(soft) + (1 - true) * np.log(1 - soft)).mean()
    dice = 2 * (soft * true).sum() / (soft.sum() + true.sum())

    found = float(mask_loss(logits, target, None))

    assert found == pytest.approx(entropy + 1 - dice, rel=1e-5)
    assert float(mask_loss(logits, target, torch.tensor([0.7]))) == pytest.approx(
        found + 0.3**2, rel=1e-5
    )


def test_a_model_that_is_not_whole_or_not_of_these_weights_is_refused(checkpoint, tmp_path):
    path = tmp_path / "m.safetensors"
    name, digest = f"sam:{checkpoint}", weights.digest_of(checkpoint)
    card = {"model": name, "base": digest, "licence": "", "train": [], "held_out": []}
    with pytest.raises(InputError, match="there is no such file"):
        opened(path)
    save_file({"mask_decoder.iou_token.weight": torch.zeros(1, 64)}, path)
    with pytest.raises(InputError, match="without its card"):
        opened(path)
    write_card(path, card | {"base": "sha256:0"})
    with pytest.raises(InputError, match="was made from"):
        opened(path)
    write_card(path, card)
    opened(path)
    save_file({"mask_decoder.iou_token.weight": torch.zeros(1, 63)}, path)
    with pytest.raises(InputError, match="changed or damaged"):
        opened(path)
    write_card(path, card)
    with pytest.raises(InputError, match="other names or shapes"):
        opened(path)
    path.write_bytes(b"no tensors")
    write_card(path, card)
    with pytest.raises(InputError, match="safetensors"):
        opened(path)
    card_path(path).write_text("[]")
    with pytest.raises(InputError, match="must be a model card"):
        opened(path)


@pytest.mark.parametrize(
    "text",
    [
        '{"labels": {"a": {"coupling": 0}}}',
        '{"labels": []}',
        "1",
        '{"labels": {"a": {"pieces": 2}}}',
    ],
)
def test_constants_that_are_none_are_refused(tmp_path, text):
    path = tmp_path / "m.json"
    path.write_text(text)
    write_card(path, {"model": "intensity", "base": "", "licence": "", "train": [], "held_out": []})

    with pytest.raises(InputError, match=r"m\.json: (must hold|constants must)"):
        opened(path)


def test_other_models_cannot_learn(cases):
    from tests.samgen.painting import Painter

    with pytest.raises(InputError, match="cannot be adapted"):
        adapted(Painter(), cases)
    with pytest.raises(InputError, match="no tensors"):
        adapted(IntensityPredictor(), cases, method="lora")
