"""Jobs for worker processes that train or compute, which import them from here."""

import os
import signal

import torch

from resnet_edu.experiment.degradation import run_cell
from resnet_edu.training.checkpoint import Checkpoint


def denormals(job, send):
    """Return how many of a million denormal numbers survive a multiplication, computed by how many threads."""
    return int((torch.full((1_000_000,), 1e-40) * 1).count_nonzero()), torch.get_num_threads()


def train_and_die_once(cell, dataset, folder, send):
    """Train a net, with its state saved after every step; be killed after step 5 of the first life."""

    def callback(event):
        with (folder / "log").open("a") as file:
            file.write(f"{os.getpid()} {event.kind} {event.step}\n")
        if event.step == 5 and not (folder / "killed").exists():
            (folder / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoint = Checkpoint(folder / "state", cell.net, seconds=0)
    return run_cell(cell, dataset, "cpu", callback, checkpoint=checkpoint)


def train_for_ever(cell, dataset, folder, send):
    """Train a net that saves its state for one reason only: that it is interrupted."""
    checkpoint = Checkpoint(folder / "state", cell.net, seconds=3600)
    return run_cell(cell, dataset, "cpu", send, checkpoint=checkpoint)
