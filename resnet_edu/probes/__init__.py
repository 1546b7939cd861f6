"""Probes: what a trained net can be asked, on a processor, from its weights and a data set.

    from resnet_edu import probes

    asked = probes.Subject("resnet56", net, dataset)
    probes.lesions(asked).drops

| question                                             | function                 | module             |
|------------------------------------------------------|--------------------------|--------------------|
| How long is the gradient at each layer?              | `gradients`              | probe_gradients.py |
| How strongly does each layer respond?                | `responses`              | probe_responses.py |
| What does one block matter, and the blocks' order?   | `lesions`                | probe_lesions.py   |
| What does the loss look like around the weights?     | `loss_slice`, `loss_plane` | probe_landscape.py |
| Is there a deeper net that is just as good?          | `identity`               | probe_identity.py  |

Scope: one name for each probe. Each returns a record (`probe_records.py`) and leaves the net exactly as it was.
Figures of the records are in `probe_plots.py`.
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
    "STUDY_DEPTHS",
    "STUDY_STEPS",
    "GradientRecord",
    "GradientStudy",
    "IdentityRecord",
    "LandscapeRecord",
    "LesionRecord",
    "ProbeRecord",
    "ResponseRecord",
    "Subject",
    "estimate_seconds",
    "filter_direction",
    "gradient_norms",
    "gradient_study",
    "gradients",
    "identity",
    "insert_identities",
    "lesions",
    "load",
    "load_shipped",
    "loss_plane",
    "loss_slice",
    "responses",
]
