"""The checker of numbers, shapes, words, networks and records: `answer`, with a function for each exercise.

What an exercise's function takes is what is handed in. Right values are computed here, by running or tracing the
networks of the package and of torchvision. Verdicts about runs are those that the learner's own numbers give by the
rule of the chapter: another machine may find other numbers.
"""

from . import beyond, idea  # they enter their exercises into the table
from .table import EXERCISES, answer

__all__ = ["EXERCISES", "answer", "beyond", "idea"]
