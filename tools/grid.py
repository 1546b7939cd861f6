"""Train the four nets at several learning rates on the digits and put the curves into the package: `tools/grid.py`.

A learning rate may be chosen by images that are held out of the training images, never by the test images. It goes on
where it was stopped, in `runs/grid`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from resnet_edu.experiment import Study, degradation
from resnet_edu.experiment.folder import Source
from resnet_edu.experiment.records import METRICS, RunRecord
from resnet_edu.experiment.shipped import GRID, RESULTS
from resnet_edu.support.files import write_atomic
from resnet_edu.training import Recipe

RATES = (0.001, 0.003, 0.01, 0.03, 0.1)
HELD = 237  # of 1,437 training images
FOLDER = Path("runs/grid")


def main() -> None:
    """Run what is missing, then write the record."""
    runs = {}
    for rate in RATES:
        study = Study(recipe=Recipe(1000, lr=rate, eval_every=50), seeds=3)
        runs[rate] = degradation.run(study, Source("digits", held=HELD), FOLDER / f"rate-{rate:g}", resume=True)
    write_atomic(RESULTS / GRID, (json.dumps(pack(runs)) + "\n").encode())


def pack(runs: dict[float, list[RunRecord]]) -> dict[str, Any]:
    """Return the records of all rates as `shipped.load_grid` reads them: once what they share, and each one's own."""
    plain = [(rate, record.to_dict()) for rate, records in runs.items() for record in records]
    for _, record in plain:
        del record["final"], record["recipe"]["lr"]
    shared = ("schema", "dataset", "recipe", "device", "threads", "versions")
    common = {name: plain[0][1][name] for name in shared}
    packed = []
    for rate, record in plain:
        if {name: record.pop(name) for name in shared} != common:
            raise SystemExit(f"{record['net']} at {rate:g} was run in another way than the first: remove {FOLDER}")
        del record["code"]
        points = [[p["step"], *(p[m] and round(p[m], 4) for m in METRICS)] for p in record["curves"]]
        packed.append({"lr": rate, **record, "curves": points})
    return {"common": common, "runs": packed}


if __name__ == "__main__":
    main()
