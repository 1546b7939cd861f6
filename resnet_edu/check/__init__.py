"""Checkers for the exercises: is this answer right, and if not, what is wrong with it?

`from resnet_edu import check`. A right answer prints one line; a wrong one raises `NotYet`, an `AssertionError`; and
what is no answer at all, such as a number where a class is asked for, raises `TypeError`.
Checkers compare numbers, not names or shapes alone, and leave random numbers, gradient mode, default type and the
learner's models as they were.
"""

from .answers import answer
from .blocks import bottleneck, residual_block, shortcut
from .nets import network, same_function
from .shapes import output_size, receptive_field, shape_printer, stage_table
from .training import evaluation, initialise, schedule, train_step
from .verdict import NotYet
from .which import which_resnet

__all__ = [
    "NotYet", "answer", "bottleneck", "evaluation", "initialise", "network", "output_size", "receptive_field",
    "residual_block", "same_function", "schedule", "shape_printer", "shortcut", "stage_table", "train_step",
    "which_resnet",
]  # fmt: skip
