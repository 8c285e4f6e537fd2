"""Quality control and label fusion of crowd-sourced medical image annotations."""

__version__ = "0.1.0"
