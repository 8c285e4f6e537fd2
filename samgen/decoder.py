"""SAM's mask decoder for many boxes of one picture, with the work that boxes share done once.

The same numbers as ``segment_anything.modeling.MaskDecoder`` up to rounding, by four rewrites:

1. What the first layer computes from the picture alone (keys, values and queries of 4096
   tokens) is computed once for all boxes; only from its end on does every box have a picture
   of its own.
2. A projection of 4096 picture tokens that only meets 7 box tokens is moved to the side of the
   7: ``q . (W k + b)`` is ``(W^T q) . k`` plus what softmax ignores, and a weighted mean of
   ``W v + b`` is ``W`` of the weighted mean, plus ``b``.
3. Transposed convolutions of stride 2 and size 2 are matrix products, channels last.
4. Only the masks that are asked for are multiplied out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

Heads = Literal["single", "best of three"]
"""The mask head for unambiguous prompts, or the best of the three heads for ambiguous ones."""

CHUNK_CPU, CHUNK_GPU = 2, 128
"""Boxes decoded together. On a CPU few, so that a layer stays in the cache; on a GPU many."""


@dataclass(frozen=True, kw_only=True)
class PreparedImage:
    """What the decoder knows of a picture before it sees a box.

    N is the number of picture tokens, C their width, D the width inside a cross attention, H
    the number of heads.

    Parameters
    ----------
    tokens : Tensor, shape (N, C)
        Embedding of the picture plus SAM's embedding for "no mask given".
    position : Tensor, shape (N, C)
        Positional encoding of the tokens.
    key, value, query : Tensor, shape (1, H, N, D / H)
        Of the first layer's two cross attentions.
    size : tuple of int
        Rows and columns of tokens; their product is N.
    """

    tokens: Tensor
    position: Tensor
    key: Tensor
    value: Tensor
    query: Tensor
    size: tuple[int, int]


def decode_boxes(
    sam: Any,
    embedding: Tensor,
    boxes: Tensor,
    *,
    points: tuple[Tensor, Tensor] | None = None,
    heads: Heads = "single",
    chunk: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Masks that SAM draws for boxes in one picture.

    Parameters
    ----------
    sam : segment_anything.modeling.Sam
        The model; its prompt encoder and mask decoder are read, not changed.
    embedding : Tensor, shape (C, h, w)
        Embedding of the picture, on the device of `sam`.
    boxes : Tensor, shape (K, 4)
        ``x0, y0, x1, y1`` in pixels of the encoder's input; 0.5 is added to them, as SAM does.
    points : tuple of Tensor, optional
        Places (K, N, 2) in the same pixels, and labels (K, N), 1 on the object and 0 beside it.
    heads : {"single", "best of three"}
        Which mask head answers. Of three, the first with the highest predicted IoU.
    chunk : int, optional
        Boxes decoded together; chosen by the device when not given. The result does not depend
        on it but for rounding.

    Returns
    -------
    logits : Tensor, shape (K, 4h, 4w)
        Above 0 is inside.
    predicted_iou : Tensor, shape (K,)
        The model's own guess of its IoU; not bound to ``[0, 1]``.

    References
    ----------
    .. [1] A. Kirillov et al., "Segment Anything", ICCV 2023. :doi:`10.1109/ICCV51070.2023.00371`
    """
    chunk = chunk or (CHUNK_CPU if embedding.device.type == "cpu" else CHUNK_GPU)
    rows, columns = embedding.shape[1:]
    logits = embedding.new_empty((len(boxes), 4 * rows, 4 * columns))
    predicted_iou = embedding.new_empty(len(boxes))
    with torch.inference_mode():
        picture = _prepare(sam, embedding)
        for part in _chunks(len(boxes), chunk):
            own = None if points is None else (points[0][part], points[1][part])
            drawn = _decode_chunk(sam, picture, (boxes[part], own), heads=heads)
            logits[part], predicted_iou[part] = drawn
    return logits, predicted_iou


def decode_with_gradients(sam: Any, embedding: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """As `decode_boxes` with the single head, all boxes at once, for training.

    Parameters
    ----------
    sam, embedding, boxes
        As in `decode_boxes`.

    Returns
    -------
    logits : Tensor, shape (K, 4h, 4w)
    predicted_iou : Tensor, shape (K,)
        Both with gradients for whatever of `sam` and `embedding` asks for them.
    """
    return _decode_chunk(sam, _prepare(sam, embedding), (boxes, None), heads="single")


def _chunks(n: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def _prepare(sam: Any, embedding: Tensor) -> PreparedImage:
    layer = sam.mask_decoder.transformer.layers[0]
    nothing = sam.prompt_encoder.no_mask_embed.weight.reshape(-1, 1, 1)
    tokens = (embedding + nothing).flatten(1).T.contiguous()
    position = sam.prompt_encoder.get_dense_pe()[0].flatten(1).T.contiguous()
    to_picture, to_boxes = layer.cross_attn_token_to_image, layer.cross_attn_image_to_token
    placed = (tokens + position)[None]
    return PreparedImage(
        tokens=tokens,
        position=position,
        key=_split(to_picture.k_proj(placed), to_picture.num_heads),
        value=_split(to_picture.v_proj(tokens[None]), to_picture.num_heads),
        query=_split(to_boxes.q_proj(placed), to_boxes.num_heads),
        size=(embedding.shape[1], embedding.shape[2]),
    )


def _decode_chunk(
    sam: Any, picture: PreparedImage, prompts: tuple[Tensor, Any], *, heads: Heads
) -> tuple[Tensor, Tensor]:
    decoder, (boxes, points) = sam.mask_decoder, prompts
    corners, _ = sam.prompt_encoder(points=points, boxes=boxes, masks=None)
    fixed = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    prompt = torch.cat([fixed.expand(len(boxes), -1, -1), corners], dim=1)

    tokens, pictures = _two_way(decoder.transformer, picture, prompt)

    ious = decoder.iou_prediction_head(tokens[:, 0])
    chosen = torch.zeros(len(boxes), dtype=torch.long, device=boxes.device)
    if heads == "best of three":
        chosen = 1 + ious[:, 1:].argmax(dim=1)
    each = torch.arange(len(boxes), device=boxes.device)
    mlps = decoder.output_hypernetworks_mlps
    wanted = range(1) if heads == "single" else range(1, len(mlps))
    weights = torch.stack([mlps[i](tokens[:, 1 + i]) for i in wanted], dim=1)
    weight = weights[each, chosen - wanted[0]]
    return _upscale(decoder.output_upscaling, pictures, weight, size=picture.size), ious[
        each, chosen
    ]


def _two_way(transformer: Any, picture: PreparedImage, prompt: Tensor) -> tuple[Tensor, Tensor]:
    """The transformer: box tokens (K, T, C) and a picture (K, N, C) for each box."""
    first, *others = transformer.layers
    tokens = first.norm1(first.self_attn(prompt, prompt, prompt))
    tokens = first.norm2(tokens + _attend_shared(first, picture, tokens + prompt))
    tokens = first.norm3(tokens + first.mlp(tokens))
    pictures = first.norm4(_answer_shared(first, picture, key=tokens + prompt, value=tokens))

    for layer in others:
        placed = tokens + prompt
        tokens = layer.norm1(tokens + layer.self_attn(placed, placed, tokens))
        located = pictures + picture.position
        attended = _attend(
            layer.cross_attn_token_to_image, tokens + prompt, located=located, pictures=pictures
        )
        tokens = layer.norm2(tokens + attended)
        tokens = layer.norm3(tokens + layer.mlp(tokens))
        answered = _answer(
            layer.cross_attn_image_to_token,
            located=located,
            key=tokens + prompt,
            value=tokens,
            pictures=pictures,
        )
        pictures = layer.norm4(answered)

    located = pictures + picture.position
    attended = _attend(
        transformer.final_attn_token_to_image, tokens + prompt, located=located, pictures=pictures
    )
    return transformer.norm_final_attn(tokens + attended), pictures


def _attend_shared(layer: Any, picture: PreparedImage, tokens: Tensor) -> Tensor:
    """Box tokens look at the one picture that all boxes share: boxes become more queries."""
    attention = layer.cross_attn_token_to_image
    query = _split(attention.q_proj(tokens.flatten(0, 1)[None]), attention.num_heads)
    found = functional.scaled_dot_product_attention(query, picture.key, picture.value)
    return attention.out_proj(_join(found)).view_as(tokens)


def _answer_shared(layer: Any, picture: PreparedImage, *, key: Tensor, value: Tensor) -> Tensor:
    """The shared picture looks at each box's tokens, and becomes that box's picture."""
    attention = layer.cross_attn_image_to_token
    keys = _split(attention.k_proj(key), attention.num_heads)
    scores = keys @ picture.query.transpose(-1, -2) / math.sqrt(keys.shape[-1])  # (K, H, T, N)
    return _add_answers(attention, scores, value=value, pictures=picture.tokens)


def _attend(attention: Any, tokens: Tensor, *, located: Tensor, pictures: Tensor) -> Tensor:
    """Box tokens look at their own picture; projections of the picture are moved to them."""
    heads = attention.num_heads
    query = _split(attention.q_proj(tokens), heads)
    query = query @ _by_head(attention.k_proj.weight, heads)  # (K, H, T, C); the bias cancels
    scores = _scores(query / math.sqrt(attention.internal_dim // heads), located)
    mean = scores.softmax(dim=-1).flatten(1, 2) @ pictures  # (K, H T, C)
    mean = mean.view(query.shape) @ _by_head(attention.v_proj.weight, heads).transpose(-1, -2)
    return attention.out_proj(_join(mean) + attention.v_proj.bias)


def _answer(
    attention: Any, *, located: Tensor, key: Tensor, value: Tensor, pictures: Tensor
) -> Tensor:
    """A box's picture looks at the box's tokens; projections of the picture are moved to them."""
    heads = attention.num_heads
    keys = _split(attention.k_proj(key), heads) / math.sqrt(attention.internal_dim // heads)
    offset = keys @ attention.q_proj.bias.view(heads, -1, 1)  # (K, H, T, 1)
    scores = _scores(keys @ _by_head(attention.q_proj.weight, heads), located) + offset
    return _add_answers(attention, scores, value=value, pictures=pictures)


def _scores(query: Tensor, located: Tensor) -> Tensor:
    """Scores (K, H, T, N) of queries (K, H, T, C) and picture tokens (K, N, C)."""
    scores = query.flatten(1, 2) @ located.transpose(-1, -2)
    return scores.view(*query.shape[:3], -1)


def _add_answers(attention: Any, scores: Tensor, *, value: Tensor, pictures: Tensor) -> Tensor:
    """Pictures (K, N, C) plus what each of their tokens reads from the box tokens."""
    heads = attention.num_heads
    values = _split(attention.v_proj(value), heads)  # (K, H, T, D / H)
    outwards = attention.out_proj.weight.T.reshape(heads, -1, attention.embedding_dim)
    values = (values @ outwards).flatten(1, 2)  # (K, H T, C)
    share = scores.softmax(dim=2).flatten(1, 2).transpose(-1, -2)  # (K, N, H T)
    base = (pictures + attention.out_proj.bias).expand(len(share), -1, -1)
    return torch.baddbmm(base, share, values)


def _upscale(upscaling: Any, pictures: Tensor, weight: Tensor, *, size: tuple[int, int]) -> Tensor:
    """Masks (K, 4h, 4w) of pictures (K, h w, C), for one vector (K, C / 8) of weights each."""
    first, norm, activation, second, _ = upscaling
    fine = _double(first, pictures)
    fine = functional.layer_norm(fine, fine.shape[-1:], norm.weight, norm.bias, norm.eps)
    fine = _double(second, activation(fine))
    fine = activation(fine)
    masks = (fine.flatten(1, -2) @ weight[:, :, None]).view(-1, *size, 2, 2, 2, 2)
    # row = 4 r + 2 (first's row) + (second's row), and the same for columns
    return masks.permute(0, 1, 3, 5, 2, 4, 6).reshape(-1, 4 * size[0], 4 * size[1])


def _double(convolution: Any, x: Tensor) -> Tensor:
    """A transposed convolution of size and stride 2: (..., C) to (..., 2, 2, C')."""
    weight = convolution.weight.permute(2, 3, 1, 0)  # (2, 2, C', C)
    bias = convolution.bias.expand(weight.shape[:3])
    return functional.linear(x, weight.flatten(0, 2), bias.flatten()).view(
        *x.shape[:-1], *weight.shape[:3]
    )


def _split(x: Tensor, heads: int) -> Tensor:
    """(K, T, D) to (K, H, T, D / H)."""
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


def _join(x: Tensor) -> Tensor:
    """(K, H, T, D / H) to (K, T, D)."""
    return x.transpose(1, 2).flatten(2)


def _by_head(weight: Tensor, heads: int) -> Tensor:
    """Weight (D, C) of a projection as (H, D / H, C)."""
    return weight.view(heads, -1, weight.shape[-1])
