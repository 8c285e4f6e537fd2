"""SAM's image encoder without the attention maps that make it slow and large.

The same numbers as ``segment_anything.modeling.ImageEncoderViT`` up to rounding. Its attention
adds a bias to every pair of tokens that is the sum of a term for the rows and one for the
columns, and materialises maps of 4096 x 4096 a head for it. Two exact ways round that:

- "rows": one head and some rows of queries at a time, so that map and bias stay in the cache of a
  CPU.
- "augmented": the bias is a scalar product too, of (terms by row, terms by column) with
  (one-hot row, one-hot column), so it moves into longer queries and keys, and any fused
  attention kernel does the rest. For a GPU.
"""

from __future__ import annotations

import contextlib
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

Attention = Literal["rows", "augmented"]

QUERIES = 256
"""Queries of one head that "rows" handles at a time: with 4096 keys, a map of 4 MB. More than the
196 queries of a window, so that windows are not cut."""


def encode_pictures(
    encoder: Any, pixels: Tensor, *, attention: Attention | None = None, bf16: bool = False
) -> Tensor:
    """Embeddings of pictures.

    Parameters
    ----------
    encoder : segment_anything.modeling.ImageEncoderViT
        The model; read, not changed.
    pixels : Tensor, shape (B, 3, S, S)
        Prepared pictures, on the device of `encoder`.
    attention : {"rows", "augmented"}, optional
        By the device when not given: "rows" on a CPU.
    bf16 : bool
        Whether products are taken in bfloat16 (autocast). Not exact; for a GPU.

    Returns
    -------
    embeddings : Tensor, shape (B, C, S / 16, S / 16)
        float32.

    References
    ----------
    .. [1] Y. Li et al., "MViTv2: Improved Multiscale Vision Transformers for Classification and
       Detection", CVPR 2022 (the bias by rows and columns). :doi:`10.1109/CVPR52688.2022.00476`
    """
    attention = attention or ("rows" if pixels.device.type == "cpu" else "augmented")
    lower = torch.autocast(pixels.device.type, torch.bfloat16) if bf16 else contextlib.nullcontext()
    with torch.inference_mode(), lower:
        tokens = encode_early(encoder, pixels, until=None, attention=attention)
        return encoder.neck(tokens.permute(0, 3, 1, 2)).float()


def encode_early(
    encoder: Any, pixels: Tensor, *, until: int | None, attention: Attention
) -> Tensor:
    """Tokens (B, h, w, C) of pictures before the block of number `until`; of None, after all.

    Parameters
    ----------
    encoder, pixels
        As in `encode_pictures`.
    until : int or None
    attention : {"rows", "augmented"}
    """
    x = encoder.patch_embed(pixels)
    if encoder.pos_embed is not None:
        x = x + encoder.pos_embed
    for block in encoder.blocks[:until]:
        x = _block(block, x, attention)
    return x


def encode_late(encoder: Any, tokens: Tensor, *, since: int) -> Tensor:
    """Embeddings (B, C, h, w) from the tokens before the block of number `since`.

    With gradients, where they are on; attention is "augmented", which changes nothing in place.

    Parameters
    ----------
    encoder : segment_anything.modeling.ImageEncoderViT
    tokens : Tensor, shape (B, h, w, C)
        From `encode_early`.
    since : int
    """
    for block in encoder.blocks[since:]:
        tokens = _block(block, tokens, "augmented")
    found: Tensor = encoder.neck(tokens.permute(0, 3, 1, 2)).float()
    return found


def _block(block: Any, x: Tensor, attention: Attention) -> Tensor:
    """One transformer block on tokens (B, h, w, C)."""
    normed = block.norm1(x)
    if block.window_size:
        normed = _windowed(block, normed, attention)
    else:
        normed = _attend(block.attn, normed, attention)
    x = x + normed
    return x + block.mlp(block.norm2(x))


def _windowed(block: Any, x: Tensor, attention: Attention) -> Tensor:
    """Attention inside windows (s, s); the last ones are filled up with zeros, as in SAM."""
    side = block.window_size
    b, rows, columns, width = x.shape
    x = functional.pad(x, (0, 0, 0, -columns % side, 0, -rows % side))
    grid = (x.shape[1] // side, x.shape[2] // side)
    x = x.view(b, grid[0], side, grid[1], side, width).transpose(2, 3).flatten(0, 2)
    x = _attend(block.attn, x, attention)
    x = x.view(b, *grid, side, side, width).transpose(2, 3)
    return x.reshape(b, grid[0] * side, grid[1] * side, width)[:, :rows, :columns]


def _attend(module: Any, x: Tensor, attention: Attention) -> Tensor:
    """Self attention among tokens (B, h, w, C) with SAM's bias by rows and columns."""
    b, rows, columns, _ = x.shape
    heads = module.num_heads
    qkv = module.qkv(x).view(b, rows * columns, 3, heads, -1).permute(2, 0, 3, 1, 4)
    query, key, value = qkv.unbind(0)  # each (B, H, h w, d)
    if not module.use_rel_pos:
        out = functional.scaled_dot_product_attention(query, key, value, scale=module.scale)
    else:
        by_row, by_column = _bias_terms(module, query, (rows, columns))
        fused = _augmented if attention == "augmented" else _in_rows
        out = fused(query, key, value, scale=module.scale, bias=(by_row, by_column))
    return module.proj(out.transpose(1, 2).reshape(b, rows, columns, -1))


def _bias_terms(module: Any, query: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The bias of query token (r, c) for key row k, (B, H, h w, h), and for key column k."""
    rows, columns = size
    placed = query.unflatten(2, size)
    by_row = torch.einsum("bhrcd,rkd->bhrck", placed, _relative(module.rel_pos_h, rows))
    by_column = torch.einsum("bhrcd,ckd->bhrck", placed, _relative(module.rel_pos_w, columns))
    return by_row.flatten(2, 3), by_column.flatten(2, 3)


def _relative(table: Tensor, n: int) -> Tensor:
    """Rows of a table (2 L - 1, d) for all pairs of n places, (n, n, d); resized if L is not n."""
    if len(table) != 2 * n - 1:
        resized = functional.interpolate(table.T[None], size=2 * n - 1, mode="linear")
        table = resized[0].T
    places = torch.arange(n, device=table.device)
    return table[places[:, None] - places[None, :] + n - 1]


def _in_rows(
    query: Tensor, key: Tensor, value: Tensor, *, scale: float, bias: tuple[Tensor, Tensor]
) -> Tensor:
    """Attention of one head and so many queries at a time that map and bias stay in the cache."""
    by_row, by_column = bias
    out = torch.empty_like(query)
    for head in range(query.shape[1]):
        for start in range(0, query.shape[2], QUERIES):
            part = (slice(None), slice(head, head + 1), slice(start, start + QUERIES))
            out[part] = functional.scaled_dot_product_attention(
                query[part],
                key[:, head : head + 1],
                value[:, head : head + 1],
                attn_mask=(by_row[part][..., None] + by_column[part][..., None, :]).flatten(3),
                scale=scale,
            )
    return out


def _augmented(
    query: Tensor, key: Tensor, value: Tensor, *, scale: float, bias: tuple[Tensor, Tensor]
) -> Tensor:
    """Attention whose bias is part of longer queries and keys."""
    by_row, by_column = bias
    rows, columns = by_row.shape[-1], by_column.shape[-1]
    key_row, key_column = (
        torch.eye(rows, device=key.device, dtype=key.dtype).repeat_interleave(columns, dim=0),
        torch.eye(columns, device=key.device, dtype=key.dtype).repeat(rows, 1),
    )
    places = torch.cat([key_row, key_column], dim=1).expand(*key.shape[:2], -1, -1)
    longer_query = torch.cat([query * scale, by_row, by_column], dim=-1)
    longer_key = torch.cat([key, places], dim=-1)
    padded = functional.pad(
        value, (0, rows + columns)
    )  # fused kernels want one width for all three
    out = functional.scaled_dot_product_attention(longer_query, longer_key, padded, scale=1.0)
    return out[..., : value.shape[-1]]
