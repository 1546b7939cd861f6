"""Jobs for worker processes that train or compute, which import them from here."""

import torch

from resnet_edu.experiment.degradation import run_cell
from resnet_edu.training.checkpoint import Checkpoint


def denormals(job, send):
    """Return how many of a million denormal numbers survive a multiplication, computed by how many threads."""
    return int((torch.full((1_000_000,), 1e-40) * 1).count_nonzero()), torch.get_num_threads()


def train_for_ever(cell, dataset, folder, send):
    """Train a net that saves its state for one reason only: that it is interrupted."""
    checkpoint = Checkpoint(folder / "state", cell.net, seconds=3600)
    return run_cell(cell, dataset, "cpu", send, checkpoint=checkpoint)
