"""The checker of shape printers: what a line must have, and how the net is left."""

import contextlib
import copy
import functools

import pytest
import torch

from resnet_edu import check


@contextlib.contextmanager
def as_it_was(net):
    modes = [(m, m.training) for m in net.modules()]
    try:
        yield net.eval()
    finally:
        for module, mode in modes:
            module.training = mode


def leaves(net):
    return [(n, m) for n, m in net.named_modules() if not list(m.children())]


def run(net, shape, report, modules=leaves, keep=as_it_was):
    """Print with a hook on each of `modules`; the wrong printers below change an argument each."""
    handles = [m.register_forward_hook(functools.partial(report, n)) for n, m in modules(net)]
    try:
        with torch.no_grad(), keep(net):
            net(torch.zeros(shape))
    finally:
        for handle in handles:
            handle.remove()


def line(name, module, inputs, output):
    print(f"{name:14} {type(module).__name__:12} {tuple(output.shape)}")


def printing(report=line, **options):
    """A printer that calls `run` with these options."""

    def print_shapes(net, *shape):
        run(net, shape, report, **options)

    return print_shapes


plain = printing()


def on_a_copy(net, *shape):
    net = copy.deepcopy(net).eval()
    for n, m in leaves(net):
        m.register_forward_hook(functools.partial(line, n))
    with torch.no_grad():
        net(torch.zeros(shape))


def with_inputs(n, m, i, o):
    print(f"{type(m).__name__} {n}: {list(i[0].shape)} -> {list(o.shape)}")


def with_crosses(n, m, i, o):
    print("name | shape" if n == "0" else "", f"\n{n} | {'x'.join(map(str, o.shape))}")


@pytest.mark.parametrize("right", [plain, printing(with_inputs), printing(with_crosses), on_a_copy])
def test_right_printers(right, capsys):
    check.shape_printer(right)
    assert capsys.readouterr().out.startswith(f"✓ {right.__name__}: ")


def no_removal(net, *shape):
    for n, m in leaves(net):
        m.register_forward_hook(functools.partial(line, n))
    with torch.no_grad(), as_it_was(net):
        net(torch.zeros(shape))


def no_finally(net, *shape):
    handles = [m.register_forward_hook(functools.partial(line, n)) for n, m in leaves(net)]
    with torch.no_grad(), as_it_was(net):
        net(torch.zeros(shape))
    for handle in handles:
        handle.remove()


@contextlib.contextmanager
def unfreezing(net):
    before = net.training
    try:
        yield net.eval()
    finally:
        net.train(before)


def late_binding(net, *shape):
    net = copy.deepcopy(net).eval()
    for name, module in leaves(net):
        module.register_forward_hook(lambda m, i, o: print(name, tuple(o.shape)))  # noqa: B023
    with torch.no_grad():
        net(torch.zeros(shape))


def in_order_of_definition(net, *shape):
    found = {}
    run(net, shape, lambda n, m, i, o: found.setdefault(n, []).append((m, i, o)))
    for n, _ in leaves(net):
        for args in found.get(n, ()):
            line(n, *args)


def once_each(net, *shape):
    seen = set()

    def report(n, m, i, o):
        if n not in seen:
            line(n, m, i, o)
        seen.add(n)

    run(net, shape, report)


def returns_text(net, *shape):
    rows = []
    run(net, shape, lambda n, m, i, o: rows.append((n, tuple(o.shape))))
    return rows


def loses_gradients(net, *shape):
    net.requires_grad_(False)
    plain(net, *shape)


def fails(net, *shape):
    plain(net, shape)


def adds_a_weight(net, *shape):
    with torch.no_grad():
        next(net.parameters()).add_(1)
    plain(net, *shape)


WRONG = {
    no_removal: "hooks behind",
    no_finally: "but if the net fails",
    printing(keep=contextlib.nullcontext): "changes the net: .*In which mode",
    printing(keep=lambda n: contextlib.nullcontext(n.eval())): "another mode",
    printing(keep=unfreezing): "another mode.*frozen",
    printing(modules=lambda n: [(k, m) for k, m in n.named_modules() if k]): "no layer but has modules of its own",
    printing(modules=lambda n: n.named_children()): "a line for 1, which is no layer .* How deep",
    printing(modules=lambda n: [(k, m) for k, m in n.named_children() if not list(m.children())]): "leaves out",
    printing(modules=lambda n: leaves(n) * 2): "registered more than once",
    printing(lambda n, m, i, o: print(n, tuple(i[0].shape))): "shape of its output",
    printing(lambda n, m, i, o: print(n, tuple(o.shape[1:]), "of", len(o))): "without the batch",
    printing(lambda n, m, i, o: print(type(m).__name__, tuple(o.shape))): "no line of print_shapes",
    printing(lambda *_: None): "prints nothing. Are the hooks",
    late_binding: "every line has the name '4'. A hook runs after the loop",
    in_order_of_definition: "order in which they are defined",
    once_each: "one line for a layer that runs twice",
    returns_text: "It returns something: print it",
    loses_gradients: "switches them off",
    fails: "raised TypeError",
    adds_a_weight: "changes the net: 0.weight",
}


@pytest.mark.parametrize("wrong", WRONG, ids=range(len(WRONG)))
def test_wrong_printers_are_named(wrong, capsys):
    with pytest.raises(check.NotYet, match=WRONG[wrong]):
        check.shape_printer(wrong)
    assert capsys.readouterr().out == ""


def test_a_function_is_asked_for():
    with pytest.raises(TypeError, match="function itself"):
        check.shape_printer(None)
