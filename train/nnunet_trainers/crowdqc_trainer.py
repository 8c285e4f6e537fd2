"""What nnU-Net finds when it looks for our trainer: it imports every module of this folder."""

from train.trainers import CrowdqcTrainer

__all__ = ["CrowdqcTrainer"]
