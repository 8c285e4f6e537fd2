"""The folder that `nnUNet_extTrainer` names: nothing else may be in it."""
