"""Write the trained nets of the dissecting table beside its script in a built page: dissecting.<net>.js, a net each.

Each is the file that comes with the package, in base64 in a script, since a page that is opened from a folder may read
nothing else. The page loads them when the reader asks for them, and checks their SHA-256.
"""

from __future__ import annotations

import base64
from pathlib import Path

from resnet_edu.widgets.dissecting import NETS, weights


def write_weights(folder: Path) -> None:
    """Write the scripts into the folder of the explorers' scripts."""
    for net in NETS:
        text = base64.b64encode(weights(net)).decode()
        script = f'(globalThis.rxData ??= {{}}).{net} = "{text}";\n'
        (folder / f"dissecting.{net}.js").write_text(script, encoding="ascii")
