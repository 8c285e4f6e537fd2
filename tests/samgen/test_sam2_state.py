"""Checkpoints of SAM 2.1: names of their tensors, and the architecture that they belong to."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from transformers import Sam2VideoModel  # noqa: E402

from crowdqc.findings import InputError  # noqa: E402
from samgen.sam2_state import ENCODERS, _translated, config_of, load_model  # noqa: E402

PAIRS = (
    (
        "image_encoder.trunk.patch_embed.proj.weight",
        "vision_encoder.backbone.patch_embed.projection.weight",
    ),
    (
        "image_encoder.trunk.blocks.0.norm1.weight",
        "vision_encoder.backbone.blocks.0.layer_norm1.weight",
    ),
    (
        "image_encoder.trunk.blocks.3.mlp.layers.1.bias",
        "vision_encoder.backbone.blocks.3.mlp.proj_out.bias",
    ),
    ("image_encoder.neck.convs.2.conv.weight", "vision_encoder.neck.convs.2.weight"),
    ("memory_attention.norm.weight", "memory_attention.layer_norm.weight"),
    (
        "memory_attention.layers.1.self_attn.out_proj.bias",
        "memory_attention.layers.1.self_attn.o_proj.bias",
    ),
    (
        "memory_encoder.mask_downsampler.encoder.3.weight",
        "memory_encoder.mask_downsampler.layers.1.conv.weight",
    ),
    (
        "memory_encoder.mask_downsampler.encoder.10.bias",
        "memory_encoder.mask_downsampler.layers.3.layer_norm.bias",
    ),
    (
        "memory_encoder.mask_downsampler.encoder.12.bias",
        "memory_encoder.mask_downsampler.final_conv.bias",
    ),
    ("memory_encoder.fuser.layers.0.gamma", "memory_encoder.memory_fuser.layers.0.scale"),
    (
        "memory_encoder.fuser.layers.1.pwconv2.bias",
        "memory_encoder.memory_fuser.layers.1.pointwise_conv2.bias",
    ),
    ("memory_encoder.out_proj.weight", "memory_encoder.projection.weight"),
    (
        "sam_prompt_encoder.mask_downscaling.4.weight",
        "prompt_encoder.mask_embed.layer_norm2.weight",
    ),
    (
        "sam_mask_decoder.transformer.layers.0.mlp.layers.0.weight",
        "mask_decoder.transformer.layers.0.mlp.proj_in.weight",
    ),
    (
        "sam_mask_decoder.transformer.norm_final_attn.bias",
        "mask_decoder.transformer.layer_norm_final_attn.bias",
    ),
    (
        "sam_mask_decoder.output_hypernetworks_mlps.2.layers.1.bias",
        "mask_decoder.output_hypernetworks_mlps.2.layers.0.bias",
    ),
    (
        "sam_mask_decoder.pred_obj_score_head.layers.2.bias",
        "mask_decoder.pred_obj_score_head.proj_out.bias",
    ),
    (
        "sam_mask_decoder.iou_prediction_head.layers.1.bias",
        "mask_decoder.iou_prediction_head.layers.0.bias",
    ),
    ("obj_ptr_proj.layers.0.weight", "object_pointer_proj.proj_in.weight"),
    ("obj_ptr_tpos_proj.weight", "temporal_positional_encoding_projection_layer.weight"),
    ("no_obj_ptr", "no_object_pointer"),
    ("no_mem_embed", "no_memory_embedding"),
)
"""Names in the published files, and those of transformers."""


@pytest.fixture(scope="module")
def names():
    """Names of the tensors of SAM 2.1 tiny."""
    with torch.device("meta"):
        return set(Sam2VideoModel(config_of(state_of(96, 12), side=1024)).state_dict())


def state_of(width, blocks):
    """What tells one architecture from another."""
    backbone = "vision_encoder.backbone"
    return {
        f"{backbone}.patch_embed.projection.weight": torch.zeros(width, 3, 7, 7),
        **{f"{backbone}.blocks.{k}.layer_norm1.weight": torch.zeros(1) for k in range(blocks)},
    }


@pytest.mark.parametrize(("published", "own"), PAIRS)
def test_a_tensor_is_found_by_its_published_name(names, published, own):
    assert _translated(published) == own
    assert own in names


@pytest.mark.parametrize("size", ENCODERS)
def test_the_architecture_is_told_by_the_image_encoder(size):
    with torch.device("meta"):
        model = Sam2VideoModel(config_of(state_of(*size), side=512))

    state = model.state_dict()
    blocks = {name.split(".")[3] for name in state if ".backbone.blocks." in name}
    assert (
        state["vision_encoder.backbone.patch_embed.projection.weight"].shape[0],
        len(blocks),
    ) == size
    assert model.image_size == 512


def test_another_encoder_is_refused():
    with pytest.raises(InputError, match="is 96 wide and has 13 blocks"):
        config_of(state_of(96, 13), side=1024)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", {"model": {"x": torch.zeros(1)}}])
def test_a_file_of_something_else_is_refused(tmp_path, content):
    path = tmp_path / "some.pt"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)

    with pytest.raises(InputError, match=r"does not hold a SAM 2\.1"):
        load_model(path, side=1024)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"nothing")

    with pytest.raises(InputError, match=r"does not hold a SAM 2\.1"):
        load_model(tmp_path, side=1024)
