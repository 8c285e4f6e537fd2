"""nnU-Net datasets, training and evaluation on filtered and unfiltered masks."""
