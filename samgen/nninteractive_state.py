"""nnInteractive from a folder of a trained model, without unpickling anything but numbers.

The library itself opens checkpoints as pickles, and plans name the classes of a network. Here a
checkpoint is read with ``weights_only``, and plans may name networks and layers only.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from crowdqc.arrays import pickled_numbers
from crowdqc.files import load_json
from crowdqc.findings import InputError

with contextlib.redirect_stdout(None):  # what it prints is no result of ours
    from nnInteractive.inference.inference_session import nnInteractiveInferenceSession
    from nnInteractive.interaction.point import PointInteraction_stub
    from nnInteractive.trainer.nnInteractiveTrainer import nnInteractiveTrainer_stub
    from nnInteractive.utils.crop import paste_tensor
    from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

CLASSES = 2
"""The object, and what is not it."""
_NETWORK = re.compile(r"dynamic_network_architectures\.architectures\.\w+\.[A-Z]\w*")
_LAYER = re.compile(r"torch\.nn(?:\.modules\.\w+)?\.[A-Z]\w*")
_LOOKED_UP = {"conv_op", "norm_op", "dropout_op", "nonlin"}
"""What nnU-Net looks up whether or not plans say that it must be imported."""


class SoftSession(nnInteractiveInferenceSession):
    """The library's session, which keeps probabilities beside its binary answer.

    Parameters
    ----------
    device : torch.device
    """

    def __init__(self, device: torch.device) -> None:
        with contextlib.redirect_stdout(None):
            super().__init__(device, torch_n_threads=torch.get_num_threads(), enable_undo=False)
        self.soft = torch.zeros(0)
        self._latest = torch.zeros(0)
        self._refined: Iterator[Any] | None = None

    def watch(self) -> None:
        """Look at what the network says from now on; once, when it is there."""
        self.network.register_forward_hook(lambda *call: self._note(call[-1]))

    def forget(self) -> None:
        """Ready for another object of the same image."""
        self.reset_interactions()
        self.new_interaction_centers.clear()
        self.new_interaction_zoom_out_factors.clear()
        self.soft.zero_()

    def _note(self, logits: torch.Tensor) -> None:
        self._latest = logits[0].float().softmax(dim=0)[1].cpu()
        if self._refined is not None:  # patches are answered in this order
            paste_tensor(self.soft, self._latest, next(self._refined))

    def _refine_coarse(self, bboxes_ordered: Any, *coarse: Any) -> None:
        self._refined = iter(bboxes_ordered)
        try:
            super()._refine_coarse(bboxes_ordered, *coarse)
        finally:
            self._refined = None

    def _paste_prediction_to_target_buffer(
        self,
        prediction: Any,
        bbox: Any,
        record_undo: bool = True,  # noqa: FBT001, FBT002 - theirs
    ) -> None:
        super()._paste_prediction_to_target_buffer(prediction, bbox, record_undo)
        if self._refined is None:
            paste_tensor(self.soft, self._latest, bbox)


def load_session(checkpoint: Path, device: torch.device) -> SoftSession:
    """A session with the network of a trained model.

    Parameters
    ----------
    checkpoint : Path
        ``fold_X/checkpoint_final.pth`` in a folder with ``plans.json``, ``dataset.json`` and
        ``inference_info.json`` or ``inference_session_class.json``.
    device : torch.device

    Raises
    ------
    InputError
        If it holds something else, or more than numbers.
    """
    folder = checkpoint.parent.parent
    plans, dataset = (load_json(folder / name, dict) for name in ("plans.json", "dataset.json"))
    _refuse_foreign(plans, folder / "plans.json")
    weights, configuration = _read(checkpoint)
    session = SoftSession(device)
    try:
        with contextlib.redirect_stdout(None):
            _equip(session, folder, PlansManager(plans), dataset=dataset, name=configuration)
            session.network.load_state_dict(weights)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"{folder}: does not hold an nnInteractive ({reason}).") from error
    session.network.train(mode=False).requires_grad_(requires_grad=False)
    session.watch()
    return session


def _equip(
    session: SoftSession, folder: Path, plans: Any, *, dataset: dict[str, Any], name: str
) -> None:
    """Give a session what the folder says: prompts that it knows, and a network without weights."""
    says = session._load_capability_and_runtime_defaults(str(folder))  # noqa: SLF001 - no other way
    capability, radius, thickness, decay, padding = says
    session.point_interaction = PointInteraction_stub(radius, use_distance_transform=True)
    session.preferred_scribble_thickness = thickness
    session.interaction_decay, session.pad_mode_data = decay, padding
    session._apply_capability(capability)  # noqa: SLF001
    configuration = plans.get_configuration(name)
    channels = determine_num_input_channels(plans, configuration, dataset)
    network = nnInteractiveTrainer_stub.build_network_architecture(
        plans,
        configuration,
        channels + session.num_interaction_channels,
        CLASSES,
        enable_deep_supervision=False,
    )
    session.manual_initialization(network, plans, configuration, dataset, "nnInteractive")


def _refuse_foreign(plans: dict[str, Any], path: Path) -> None:
    """Refuse plans that name what is no network and no layer: nnU-Net calls what they name."""
    try:
        parts = [one["architecture"] for one in plans["configurations"].values()]
        named = [(_NETWORK, one["network_class_name"]) for one in parts]
        for one in parts:
            words = one["arch_kwargs"]
            keys = {*one["_kw_requires_import"], *(_LOOKED_UP & words.keys())}
            named += [(_LAYER, words[key]) for key in keys if words[key] is not None]
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is not a plan of nnU-Net ({error!r}).") from error
    for pattern, name in named:
        if not (isinstance(name, str) and pattern.fullmatch(name)):
            raise InputError(
                f"{path}: names {str(name)[:100]!r}, no class of a network or layer, and is not "
                "used."
            )


def _read(checkpoint: Path) -> tuple[dict[str, Any], str]:
    """Weights, and the name of the configuration that they belong to."""
    try:
        with torch.serialization.safe_globals(pickled_numbers()):
            record = torch.load(checkpoint, map_location="cpu", weights_only=True)
        return record["network_weights"], str(record["init_args"]["configuration"])
    except Exception as error:  # whatever a broken or hostile file makes of the unpickler
        reason = str(error).strip().partition("\n")[0][:200]
        raise InputError(
            f"{checkpoint}: is not a checkpoint of nnU-Net with nothing but numbers, and is not "
            f"opened ({reason})."
        ) from error
