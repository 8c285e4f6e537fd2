"""Devices of torch by the names that a study file has for them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import torch

from crowdqc.findings import InputError

CPU = Path("/proc/cpuinfo")
_BF16 = {"avx512_bf16", "amx_bf16", "bf16"}


def choose_device(device: str) -> torch.device:
    """Device of that name, or the first GPU, or the CPU.

    Raises
    ------
    InputError
        If there is no such device here.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"'device' must be a device of this machine, such as 'cpu' or 'cuda'; got {device!r} "
            f"({next(iter(str(error).splitlines()), '')})."
        ) from error
    return chosen


def choose_bf16(precision: str, device: torch.device) -> bool:
    """Whether products are taken in bfloat16.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16"}
        ``auto`` is bfloat16 on a GPU that multiplies it, and float32 elsewhere.
    device : torch.device

    Raises
    ------
    InputError
        If bfloat16 is asked for and the device has no instructions for it.
    """
    there = has_bf16(device)
    if precision == "bfloat16" and not there:
        raise InputError(
            f"[masks] precision: 'bfloat16' needs a device that multiplies it, and '{device}' does "
            "not, as far as can be told here (a GPU from NVIDIA's Ampere on, or a CPU with "
            "avx512_bf16, amx_bf16 or, on ARM, bf16). Choose 'float32'."
        )
    return there and (precision == "bfloat16" or (precision == "auto" and device.type == "cuda"))


def has_bf16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16; False where it cannot be told."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return device.type == "cpu" and bool(_BF16 & set(_cpu_flags()))


def lower_precision(device: torch.device, bf16: bool) -> contextlib.AbstractContextManager[None]:  # noqa: FBT001
    """A context in which products are taken in bfloat16, or nothing is changed.

    Parameters
    ----------
    device : torch.device
    bf16 : bool
        Whether they are.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=bf16)


def _cpu_flags() -> list[str]:
    """What the system says of its first processor; nothing where it has no such file."""
    try:
        lines = CPU.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found = (line for line in lines if line.lower().startswith(("flags", "features")))
    return next(found, "").split()
