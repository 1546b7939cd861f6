"""Explorers: a reader moves something and sees at once what it does, in a notebook and in the book's pages.

    >>> from resnet_edu.widgets import NetworkExplorer
    >>> NetworkExplorer("resnet50", input=(3, 96, 96))  # in a notebook's cell

One class each, a few lines with documented traits, over one JavaScript module of the same name in src/.
"""

from .block import BlockExplorer
from .convolution import ConvolutionExplorer
from .dissecting import DissectingTable
from .gradients import GradientExplorer
from .identity import IdentityExplorer
from .network import NetworkExplorer
from .quiz import Quiz, quiz
from .schedule import ScheduleExplorer
from .stride import StrideExplorer
from .study import StudyPlayer
from .training import TrainingLab

__all__ = [
    "BlockExplorer",
    "ConvolutionExplorer",
    "DissectingTable",
    "GradientExplorer",
    "IdentityExplorer",
    "NetworkExplorer",
    "Quiz",
    "ScheduleExplorer",
    "StrideExplorer",
    "StudyPlayer",
    "TrainingLab",
    "quiz",
]
