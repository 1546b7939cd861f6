"""An object of every explorer, for the tests that hold for all of them."""

from resnet_edu.widgets.base import Explorer

ARGUMENTS = {
    "NetworkExplorer": ("resnet18",),  # the hundreds of rows of a deeper net take axe a minute and tell nothing new
    "Quiz": ("What is 2 + 2?", [("4", True, "Count."), ("22", False, "That joins the digits.")]),
}


def sample(explorer: type[Explorer]) -> Explorer:
    """Return an explorer with nothing but the arguments that it cannot do without."""
    return explorer(*ARGUMENTS.get(explorer.__name__, ()))
