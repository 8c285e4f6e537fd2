"""Devices of torch by the names that a study file has for them."""

from __future__ import annotations

import torch

from crowdqc.findings import InputError


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
