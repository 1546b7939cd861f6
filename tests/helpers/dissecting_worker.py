"""The dissecting table's worker in V8, as it is shipped, with the trained nets that come with the package."""

from __future__ import annotations

import functools

from training_worker import Worker

from resnet_edu.widgets.dissecting import NETS, weights

LOOK = """
const engine = rxWorkers.dissecting();
const flat = (values) => Array.from(values);
const bytes = (hex) => Uint8Array.from({ length: hex.length / 2 }, (_, i) => parseInt(hex.slice(2 * i, 2 * i + 2), 16));
const nets = {};
const all = (generator) => { for (;;) { const { done, value } = generator.next(); if (done) return value; } };
"""
ADD = "(name, hex) => { nets[name] = new engine.ConvNet(bytes(hex), name.startsWith('resnet')); return 0; }"


@functools.cache
def dissecting_worker() -> Worker:
    """Return the worker with `nets`, the four trained ones."""
    worker = Worker("dissecting", LOOK)
    for name in NETS:
        worker.run(ADD, name, weights(name).hex())
    return worker
