"""Some digits and a short recipe, for runs in processes of their own."""

from resnet_edu.data import dataset as data
from resnet_edu.training.recipe import Recipe

RECIPE = Recipe(6, batch_size=16, lr=0.05, augment=True, eval_every=3, warmup_lr=0.01, milestones=(4,))


def digits():
    return data.load("digits").head(70, 1100)  # three batches of evaluation: they cannot be shared out evenly
