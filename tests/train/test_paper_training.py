"""The paper's design as a study file: its cases and settings."""

from pathlib import Path

import pandas as pd
import pytest

from crowdqc.config import load_config
from train.splits import make_splits

FILE = Path(__file__).parents[2] / "configs" / "paper_training.toml"


@pytest.fixture
def config():
    return load_config(FILE)


def test_nnunet_is_trained_as_in_the_paper(config):
    # Kulkarni et al. 2024, arXiv:2403.15218: nnU-Net v2, 1000 epochs, 5 folds, no mirroring.
    settings = config.train

    assert (settings.epochs, settings.iterations, settings.mirror) == (1000, 250, False)
    assert settings.configuration == "3d_fullres"
    assert config.dataset.folds == 5


def test_the_test_cases_are_those_of_the_published_scores(config, data):
    published = pd.read_csv(data / "btcv_crowd/results/BTCV/SAM-nnunet-15-pred.csv")["path"]

    assert sorted(config.dataset.test) == sorted(published.str[5:9])


def test_fifteen_annotated_volumes_remain_to_train_on(config, data):
    prompts = (data / "btcv_crowd" / "prompt").iterdir()
    training = {path.name[3:7] for path in prompts} - set(config.dataset.test)
    complete = pd.read_csv(data / "btcv_crowd/results/BTCV/volume_dice.csv")["path"].str[3:7]

    assert len(training) == 15
    assert len(set(complete)) == 11
    assert set(complete) < training  # the paper left out the other four
    assert len(make_splits(training)) == 5
