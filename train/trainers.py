"""Our nnU-Net trainer: settings as data, no mirroring, checkpoints that survive a kill.

nnU-Net finds it by name through ``nnUNet_extTrainer``, see `train.environment`. Its settings
stand in the plans file under ``crowdqc``, where nnU-Net keeps the plans of a trained model too.
Every epoch starts from a seed of its own, so that with ``workers = 0`` on a CPU two trainings
are alike, and one that was killed ends as if it had not been.
"""

from __future__ import annotations

import random
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.training.nnUNetTrainer.variants.optimizer.nnUNetTrainerAdam import nnUNetTrainerAdam

from train.checkpoints import safe_checkpoints

RECORD = "crowdqc"
"""Key of our settings in the plans."""


class CrowdqcTrainer(nnUNetTrainer):
    """nnU-Net's trainer with the settings of the study file's ``[train]``.

    Parameters
    ----------
    plans : dict
        nnU-Net's plans; under ``crowdqc``, ``training``: ``epochs, iterations, optimizer,
        save_every, mirror, seed``.
    configuration : str
        nnU-Net's configuration.
    fold : int or "all"
        Fold to train.
    dataset_json : dict
        The dataset.
    device : torch.device
        Where to train.
    """

    def __init__(  # noqa: PLR0917 - nnU-Net's signature
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int | str,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        settings = plans[RECORD]["training"]
        self.num_epochs = settings["epochs"]
        self.num_iterations_per_epoch = settings["iterations"]
        self.num_val_iterations_per_epoch = max(1, settings["iterations"] // 5)
        self.save_every = settings["save_every"]
        self.optimizer_name = settings["optimizer"]
        self.mirror = settings["mirror"]
        self.seed = settings["seed"]

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self) -> tuple[Any, ...]:  # noqa: N802
        """As nnU-Net, without mirroring unless it was asked for."""
        *others, axes = super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        if not self.mirror:
            axes = self.inference_allowed_mirroring_axes = None
        return (*others, axes)

    def configure_optimizers(self) -> tuple[Any, Any]:
        """As nnU-Net, or as its variant with AdamW."""
        kind = nnUNetTrainerAdam if self.optimizer_name == "adam" else nnUNetTrainer
        optimizer, schedule = kind.configure_optimizers(self)
        return optimizer, schedule

    def initialize(self) -> None:
        """As nnU-Net, with weights that the seed decides."""
        self._sow("weights")
        super().initialize()

    def on_epoch_start(self) -> None:
        """As nnU-Net, from a seed of this epoch."""
        self._sow(f"epoch {self.current_epoch}")
        super().on_epoch_start()

    def on_epoch_end(self) -> None:
        """As nnU-Net, which draws its curves anew; here only where a checkpoint is due."""
        last = self.current_epoch + 1 == self.num_epochs
        if (self.current_epoch + 1) % self.save_every == 0 or last:
            super().on_epoch_end()
            return
        draw = self.logger.plot_progress_png
        self.logger.plot_progress_png = lambda folder: None  # noqa: ARG005
        super().on_epoch_end()
        self.logger.plot_progress_png = draw

    def save_checkpoint(self, filename: str) -> None:
        """Write a checkpoint whole or not at all: a kill while writing leaves the one before."""
        part = Path(filename + ".part")
        part.unlink(missing_ok=True)  # it could be a link
        super().save_checkpoint(str(part))
        if part.exists():
            part.replace(filename)

    def load_checkpoint(self, filename_or_checkpoint: dict[str, Any] | str) -> None:
        """As nnU-Net, of plain data only; also in the processes of several GPUs."""
        with safe_checkpoints():
            super().load_checkpoint(filename_or_checkpoint)

    def _sow(self, what: str) -> None:
        """Seed the global generators, which are all that nnU-Net and its augmentation use."""
        number = zlib.crc32(f"{self.seed} {self.fold} {self.local_rank} {what}".encode())
        random.seed(number)
        np.random.seed(number)  # noqa: NPY002
        torch.manual_seed(number)
