"""Checkpoints of SAM 2.1 and MedSAM2 as `transformers` names what is in them.

The published files name tensors as their authors' code does. The four architectures differ in the
image encoder alone, whose width and depth tell them apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import Sam2HieraDetConfig, Sam2VideoConfig, Sam2VideoModel, Sam2VisionConfig

from crowdqc.findings import InputError
from samgen.weights import load_state

State = dict[str, torch.Tensor]

_HEADS = r"\b(output_hypernetworks_mlps\.\d+|\w+_head|obj_ptr_proj)\.layers\."
_NAMES = (
    (r"^sam_", ""),
    (r"^image_encoder\.trunk\.", "vision_encoder.backbone."),
    (r"^image_encoder\.neck\.convs\.(\d+)\.conv\.", r"vision_encoder.neck.convs.\1."),
    (r"\bpatch_embed\.proj\b", "patch_embed.projection"),
    (r"\bmemory_encoder\.out_proj\b", "memory_encoder.projection"),
    (r"\bout_proj\b", "o_proj"),
    (r"\bnorm(\d?|_final_attn)\b", r"layer_norm\1"),
    (r"\bmlp\.layers\.0\b", "mlp.proj_in"),
    (r"\bmlp\.layers\.1\b", "mlp.proj_out"),
    (_HEADS + r"0\b", r"\1.proj_in"),
    (_HEADS + r"2\b", r"\1.proj_out"),
    (_HEADS + r"1\b", r"\1.layers.0"),
    (r"\boutput_upscaling\.0\b", "upscale_conv1"),
    (r"\boutput_upscaling\.1\b", "upscale_layer_norm"),
    (r"\boutput_upscaling\.3\b", "upscale_conv2"),
    (r"\bmask_downscaling\.0\b", "mask_embed.conv1"),
    (r"\bmask_downscaling\.1\b", "mask_embed.layer_norm1"),
    (r"\bmask_downscaling\.3\b", "mask_embed.conv2"),
    (r"\bmask_downscaling\.4\b", "mask_embed.layer_norm2"),
    (r"\bmask_downscaling\.6\b", "mask_embed.conv3"),
    (r"\bmask_downsampler\.encoder\.12\b", "mask_downsampler.final_conv"),
    (r"\bfuser\b", "memory_fuser"),
    (r"\bgamma\b", "scale"),
    (r"\bdwconv\b", "depthwise_conv"),
    (r"\bpwconv", "pointwise_conv"),
    (r"\bpix_feat_proj\b", "feature_projection"),
    (r"\bpe_layer\.positional_encoding_gaussian_matrix$", "shared_embedding.positional_embedding"),
    (r"^obj_ptr_tpos_proj\b", "temporal_positional_encoding_projection_layer"),
    (r"^obj_ptr_proj\b", "object_pointer_proj"),
    (r"^no_obj_ptr$", "no_object_pointer"),
    (r"^no_obj_embed_spatial$", "occlusion_spatial_embedding_parameter"),
    (r"^maskmem_tpos_enc$", "memory_temporal_positional_encoding"),
    (r"^no_mem_embed$", "no_memory_embedding"),
    (r"^no_mem_pos_enc$", "no_memory_positional_encoding"),
)
"""What names in the published files become, one after the other."""
_STEPS = re.compile(r"(?<=mask_downsampler\.)encoder\.(\d+)\b")
_POINTS = "prompt_encoder.point_embed.weight"
_POSITIONS = "shared_embedding.positional_embedding"

ENCODERS: dict[tuple[int, int], dict[str, Any]] = {
    (96, 12): {},
    (96, 16): {"blocks_per_stage": [1, 2, 11, 2], "global_attention_blocks": [7, 10, 13]},
    (112, 24): {
        "hidden_size": 112,
        "embed_dim_per_stage": [112, 224, 448, 896],
        "num_attention_heads_per_stage": [2, 4, 8, 16],
        "blocks_per_stage": [2, 3, 16, 3],
        "global_attention_blocks": [12, 16, 20],
        "window_positional_embedding_background_size": [14, 14],
    },
    (144, 48): {
        "hidden_size": 144,
        "embed_dim_per_stage": [144, 288, 576, 1152],
        "num_attention_heads_per_stage": [2, 4, 8, 16],
        "blocks_per_stage": [2, 6, 36, 4],
        "global_attention_blocks": [23, 33, 43],
        "window_positional_embedding_background_size": [7, 7],
        "window_size_per_stage": [8, 4, 16, 8],
    },
}
"""(width, number of blocks) of the image encoder -> what differs from that of SAM 2.1 tiny."""


def load_model(path: Path, *, side: int) -> Sam2VideoModel:
    """SAM 2.1 from a published checkpoint, or from a folder as `transformers` writes it.

    Parameters
    ----------
    path : Path
        The file, or a folder with ``config.json`` and ``model.safetensors``.
    side : int
        Side of the pictures in px; a folder says it itself.

    Raises
    ------
    InputError
        If it holds something else.
    """
    try:
        if path.is_dir():
            model = Sam2VideoModel.from_pretrained(
                path, local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
        else:
            state = _translate(load_state(path))
            model = Sam2VideoModel(config_of(state, side=side))
            model.load_state_dict(state)
    except (InputError, RuntimeError, OSError, ValueError, KeyError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"{path}: does not hold a SAM 2.1 ({reason}).") from error
    ready: Sam2VideoModel = model.train(mode=False).requires_grad_(requires_grad=False)
    return ready


def _translate(state: Mapping[str, torch.Tensor]) -> State:
    """Tensors of a published checkpoint by the names of `transformers`."""
    found = {_translated(name): value for name, value in state.items()}
    points = [found.pop(f"prompt_encoder.point_embeddings.{k}.weight") for k in range(4)]
    positions = found[f"prompt_encoder.{_POSITIONS}"]
    return found | {
        _POINTS: torch.cat(points),
        "shared_image_embedding.positional_embedding": positions,
    }


def _translated(name: str) -> str:
    for pattern, new in _NAMES:
        name = re.sub(pattern, new, name)
    return _STEPS.sub(
        lambda m: f"layers.{int(m[1]) // 3}.{('conv', 'layer_norm')[int(m[1]) % 3]}", name
    )


def config_of(state: Mapping[str, torch.Tensor], *, side: int) -> Sam2VideoConfig:
    """Configuration of the model that some tensors belong to.

    Parameters
    ----------
    state : mapping
        Name -> tensor, by the names of ``transformers``.
    side : int
        Of the square pictures, in px; a multiple of 16.

    Raises
    ------
    InputError
        If the image encoder is none of `ENCODERS`.
    """
    blocks = {
        m[1]
        for m in (re.match(r"vision_encoder\.backbone\.blocks\.(\d+)\.", n) for n in state)
        if m
    }
    width = state["vision_encoder.backbone.patch_embed.projection.weight"].shape[0]
    if (width, len(blocks)) not in ENCODERS:
        raise InputError(f"its image encoder is {width} wide and has {len(blocks)} blocks")
    given = ENCODERS[width, len(blocks)]
    backbone = Sam2HieraDetConfig(**given, image_size=[side, side])
    channels = given.get("embed_dim_per_stage", [96, 192, 384, 768])[::-1]
    grid = side // 16
    vision = Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=channels,
        backbone_feature_sizes=[[grid * k, grid * k] for k in (4, 2, 1)],
    )
    return Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config={"image_size": side},
        image_size=side,
        memory_attention_rope_feat_sizes=[grid, grid],
    )
