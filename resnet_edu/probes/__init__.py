"""Probes: what a trained net can be asked, from its weights and a data set. Figures of the answers: `figures.probes`.

    from resnet_edu import probes

    subject = probes.Subject("resnet56", net, dataset)
    probes.lesions(subject).drops

| question                                           | function         |
|----------------------------------------------------|------------------|
| How long is the gradient at each layer?            | `gradients`      |
| How strongly does each layer respond?              | `responses`      |
| What does one block matter, and the blocks' order? | `lesions`        |
| What does the loss look like around the weights?   | `loss_landscape` |
| Is there a deeper net that is just as good?        | `identity`       |

Each returns a record (records.py) and leaves the net exactly as it was. `additions` returns what is added where when
one photo passes the net; `figures.predictions.maps` draws it.
"""

from .additions import Addition, additions
from .gradients import gradient_norms, gradients
from .identity import identity, insert_identities
from .landscape import filter_direction, loss_landscape
from .lesions import lesions
from .records import ProbeRecord, load, load_shipped
from .responses import responses
from .subject import Subject

__all__ = [
    "Addition", "ProbeRecord", "Subject", "additions", "filter_direction", "gradient_norms", "gradients", "identity",
    "insert_identities", "lesions", "load", "load_shipped", "loss_landscape", "responses",
]  # fmt: skip
