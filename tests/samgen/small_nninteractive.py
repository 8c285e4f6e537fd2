"""A folder of a trained nnInteractive, as nnU-Net writes it: few parameters, random weights."""

import json

import numpy as np
import torch

CONFIGURATION = "3d_fullres"
PATCH = [56, 64, 64]
"""The library refines patches without a margin of 24 voxels on each side."""


def plans(**network):
    words = {
        "n_stages": 2,
        "features_per_stage": [2, 4],
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[3, 3, 3], [3, 3, 3]],
        "strides": [[1, 1, 1], [2, 2, 2]],
        "n_conv_per_stage": [1, 1],
        "n_conv_per_stage_decoder": [1],
        "conv_bias": True,
        "norm_op": None,
        "norm_op_kwargs": None,
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    architecture = {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": words,
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }
    configuration = {
        "data_identifier": "small",
        "patch_size": PATCH,
        "batch_size": 1,
        "spacing": [1.0, 1.0, 1.0],
        "architecture": architecture | network,
    }
    return {
        "dataset_name": "Dataset001_small",
        "plans_name": "small",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {CONFIGURATION: configuration},
    }


def write_model(folder, *, seed=0, decay=0.9):
    """Write the folder; the record of the training has numbers of NumPy in it, as nnU-Net's."""
    from nnInteractive.trainer.nnInteractiveTrainer import nnInteractiveTrainer_stub
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    says = {"point_radius": 2, "interaction_decay": decay, "pad_mode_image": "constant"}
    dataset = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "object": 1}}
    (folder / "fold_0").mkdir(parents=True)
    for name, content in (
        ("plans", plans()),
        ("dataset", dataset | {"numTraining": 1, "file_ending": ".nii.gz"}),
        ("inference_session_class", says),
    ):
        (folder / f"{name}.json").write_text(json.dumps(content))
    manager = PlansManager(plans())
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        network = nnInteractiveTrainer_stub.build_network_architecture(
            manager, manager.get_configuration(CONFIGURATION), 8, 2, enable_deep_supervision=False
        )
        for parameter in network.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=1.5 / parameter[0].numel() ** 0.5)
        nothing = network(torch.zeros(1, 8, 16, 16, 16))[0, :, 8, 8, 8]
        # What lies outside of the image is background.
        network.decoder.seg_layers[-1].bias += torch.tensor([1.0, 0.0]) + nothing.flip(0)
    record = {
        "network_weights": network.state_dict(),
        "init_args": {"configuration": CONFIGURATION, "fold": 0},
        "trainer_name": "nnInteractiveTrainer_stub",
        "logging": {"ema_fg_dice": [np.float64(0.5), np.float32(0.25)]},
        "_best_ema": np.float64(0.5),
        "current_epoch": 3,
    }
    torch.save(record, folder / "fold_0" / "checkpoint_final.pth")
    return folder
