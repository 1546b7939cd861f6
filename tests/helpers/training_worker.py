"""An explorer's worker in V8, as it is shipped; the training laboratory's, if no other is named."""

from __future__ import annotations

import json

from make_widgets import MODULES
from py_mini_racer import MiniRacer

LOOK = """
const engine = rxWorkers.training();
const flat = (values) => Array.from(values);
const measure = ({ settings, rate, batches, floats }) => {
  const Floats = globalThis[floats];
  const net = new engine.Net(settings, Floats);
  const { images, labels } = engine.digits(Floats).train;
  const start = {
    linears: net.linears.map((l) => flat(l.weight.value)),
    scales: net.norms.map((n) => flat(n.scale.value)),
  };
  const losses = [];
  let first = null;
  for (const batch of batches) {
    const x = new Floats(batch.flatMap((i) => flat(images.subarray(64 * i, 64 * (i + 1)))));
    const { loss, broke } = net.step(x, batch.map((i) => labels[i]), rate);
    losses.push(loss);
    first ??= {
      weights: net.linears.map((l) => flat(l.weight.grad)),
      biases: net.linears.map((l) => l.bias && flat(l.bias.grad)),
      scales: net.norms.map((n) => flat(n.scale.grad)),
      shifts: net.norms.map((n) => flat(n.shift.grad)),
      means: net.norms.map((n) => flat(n.mean)),
      variances: net.norms.map((n) => flat(n.variance)),
      sizes: net.sizes(),
    };
    if (broke) return { start, losses, first, broke };
  }
  return { start, losses, first, confusion: net.confusion(images.subarray(0, 64 * 200), labels.subarray(0, 200)) };
};
"""


class Worker:
    """The functions of the worker's script; `run(code, argument)` calls one and returns what JSON can write."""

    def __init__(self, name: str = "training", look: str = LOOK) -> None:
        self._engine = MiniRacer()
        code = (MODULES / f"{name}.worker.js").read_text(encoding="utf-8")
        self._engine.eval(f"{code}{look};0")

    def run(self, function: str, *arguments: object) -> object:
        """Call a JavaScript function, given as an expression."""
        given = ",".join(map(json.dumps, arguments))
        return json.loads(self._engine.eval(f"JSON.stringify(({function})({given}))"))
