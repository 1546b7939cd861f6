"""How a net is trained: the recipe, the loop, one step, checkpoints, several processes."""

from .checkpoint import Checkpoint
from .classifier import Classifier, load_classifier
from .loop import Evaluation, Event, StopTraining, TrainingDiverged, evaluate, train
from .recipe import Recipe
from .step import Stepper, mixed

__all__ = [
    "Checkpoint", "Classifier", "Evaluation", "Event", "Recipe", "Stepper", "StopTraining", "TrainingDiverged",
    "evaluate", "load_classifier", "mixed", "train",
]  # fmt: skip
