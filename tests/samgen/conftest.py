"""A SAM of SAM's own classes that is small enough for tests, and volumes to draw on."""

from functools import partial

import numpy as np
import pytest

from tests.samgen.painting import volume


def small_sam(seed, side=160, window=4):
    """Random weights everywhere, also where SAM's own initialisation is all zero.

    The side is no multiple of the window, so that windows are padded, as in SAM (64 and 14).
    """
    import torch
    from segment_anything.modeling import (
        ImageEncoderViT,
        MaskDecoder,
        PromptEncoder,
        Sam,
        TwoWayTransformer,
    )

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        sam = Sam(
            image_encoder=ImageEncoderViT(
                img_size=side,
                embed_dim=48,
                depth=3,
                num_heads=3,
                out_chans=64,
                norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
                use_rel_pos=True,
                window_size=window,
                global_attn_indexes=(1,),
            ),
            prompt_encoder=PromptEncoder(
                embed_dim=64,
                image_embedding_size=(side // 16, side // 16),
                input_image_size=(side, side),
                mask_in_chans=16,
            ),
            mask_decoder=MaskDecoder(
                transformer_dim=64,
                transformer=TwoWayTransformer(depth=2, embedding_dim=64, num_heads=8, mlp_dim=128),
                iou_head_hidden_dim=64,
            ),
            pixel_mean=[123.675, 116.28, 103.53],
            pixel_std=[58.395, 57.12, 57.375],
        )
        for name, parameter in sam.named_parameters():
            if parameter.ndim > 1 and "norm" not in name:
                torch.nn.init.normal_(parameter, std=1.5 / parameter[0].numel() ** 0.5)
            elif name.endswith("bias"):
                torch.nn.init.normal_(parameter, std=0.1)
    return sam.eval().requires_grad_(requires_grad=False)


@pytest.fixture(scope="session")
def sam():
    pytest.importorskip("segment_anything")
    return small_sam(seed=1)


@pytest.fixture(scope="session")
def other_sam():
    """Makes a SAM of the same architecture with other weights, as the package's builders do."""
    return partial(small_sam, seed=2)


@pytest.fixture
def images(tmp_path):
    """Three small volumes."""
    return {case: volume(tmp_path / f"{case}.nii.gz", np.diag([1, 1, 2, 1])) for case in "abc"}
