"""Matrices of low rank in some layers of a model (LoRA), by the package `peft`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from crowdqc.findings import InputError

NAME = "crowdqc"


def add_adapters(module: Any, layers: Sequence[str], *, rank: int, seed: int) -> list[Tensor]:
    """Add a pair of matrices to each of some linear layers; they change nothing at first.

    Parameters
    ----------
    module : torch.nn.Module
        Is changed.
    layers : sequence of str
        Names of its linear layers.
    rank : int
    seed : int
        For what the first of each pair begins with.

    Returns
    -------
    list of Tensor
        The matrices, which are to be trained; nothing else of the module is.

    Raises
    ------
    InputError
        If `peft` is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise InputError(
            f"[adapt] method = 'lora' needs the package peft: {error}. Install crowdqc[adapt]."
        ) from error
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=list(layers))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        inject_adapter_in_model(config, module, adapter_name=NAME)
    found = [one for name, one in module.named_parameters() if ".lora_" in name]
    for one in found:
        one.requires_grad_(requires_grad=True)
    return found


def merged(module: Any) -> dict[str, Tensor]:
    """Weights with their matrices added, by the names that they had before."""
    return {
        f"{name}.weight": (one.base_layer.weight + one.get_delta_weight(NAME)).detach().clone()
        for name, one in module.named_modules()
        if hasattr(one, "lora_A")
    }
