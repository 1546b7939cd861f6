"""Probes: what a trained net can be asked, from its weights and a data set. Figures of the answers: `figures.probes`.

    from resnet_edu import probes

    subject = probes.Subject("resnet56", net, dataset)
    probes.lesions(subject).drops

| question                                           | function                   | module       |
|----------------------------------------------------|----------------------------|--------------|
| How long is the gradient at each layer?            | `gradients`                | gradients.py |
| How strongly does each layer respond?              | `responses`                | responses.py |
| What does one block matter, and the blocks' order? | `lesions`                  | lesions.py   |
| What does the loss look like around the weights?   | `loss_slice`, `loss_plane` | landscape.py |
| Is there a deeper net that is just as good?        | `identity`                 | identity.py  |

Each returns a record (records.py) and leaves the net exactly as it was. The values of one block's branch, for the block
explorer, are in branches.py.
"""

from .gradients import STUDY_DEPTHS, STUDY_STEPS, gradient_norms, gradient_study, gradients
from .identity import identity, insert_identities
from .landscape import estimate_seconds, filter_direction, loss_plane, loss_slice
from .lesions import lesions
from .records import (
    GradientRecord,
    GradientStudy,
    IdentityRecord,
    LandscapeRecord,
    LesionRecord,
    ProbeRecord,
    ResponseRecord,
    load,
    load_shipped,
)
from .responses import responses
from .subject import Subject

__all__ = [
    "STUDY_DEPTHS", "STUDY_STEPS", "GradientRecord", "GradientStudy", "IdentityRecord", "LandscapeRecord",
    "LesionRecord", "ProbeRecord", "ResponseRecord", "Subject", "estimate_seconds", "filter_direction",
    "gradient_norms", "gradient_study", "gradients", "identity", "insert_identities", "lesions", "load",
    "load_shipped", "loss_plane", "loss_slice", "responses",
]  # fmt: skip
