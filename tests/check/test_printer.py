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


def plain(net, *shape):
    run(net, shape, line)


def with_inputs(net, *shape):
    run(net, shape, lambda n, m, i, o: print(f"{type(m).__name__} {n}: {list(i[0].shape)} -> {list(o.shape)}"))


def with_crosses(net, *shape):
    print("name | shape")
    run(net, shape, lambda n, m, i, o: print(f"{n} | {'x'.join(map(str, o.shape))}"))


def on_a_copy(net, *shape):
    net = copy.deepcopy(net).eval()
    for n, m in leaves(net):
        m.register_forward_hook(functools.partial(line, n))
    with torch.no_grad():
        net(torch.zeros(shape))


@pytest.mark.parametrize("right", [plain, with_inputs, with_crosses, on_a_copy])
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


def training_mode(net, *shape):
    run(net, shape, line, keep=contextlib.nullcontext)


def stays_in_eval(net, *shape):
    run(net, shape, line, keep=lambda n: contextlib.nullcontext(n.eval()))


def unfreezes(net, *shape):
    @contextlib.contextmanager
    def keep(n):
        before = n.training
        try:
            yield n.eval()
        finally:
            n.train(before)

    run(net, shape, line, keep=keep)


def containers_too(net, *shape):
    run(net, shape, line, modules=lambda n: [(k, m) for k, m in n.named_modules() if k])


def outermost_only(net, *shape):
    run(net, shape, line, modules=lambda n: n.named_children())


def late_binding(net, *shape):
    net = copy.deepcopy(net).eval()
    for name, module in leaves(net):
        module.register_forward_hook(lambda m, i, o: print(name, tuple(o.shape)))  # noqa: B023
    with torch.no_grad():
        net(torch.zeros(shape))


def children_only(net, *shape):
    run(net, shape, line, modules=lambda n: [(k, m) for k, m in n.named_children() if not list(m.children())])


def in_order_of_definition(net, *shape):
    found = {}
    run(net, shape, lambda n, m, i, o: found.setdefault(n, []).append((m, i, o)))
    for n, _ in leaves(net):
        for args in found.get(n, ()):
            line(n, *args)


def input_shapes(net, *shape):
    run(net, shape, lambda n, m, i, o: print(n, tuple(i[0].shape)))


def without_batch(net, *shape):
    run(net, shape, lambda n, m, i, o: print(n, tuple(o.shape[1:]), "of", len(o)))


def without_names(net, *shape):
    run(net, shape, lambda n, m, i, o: print(type(m).__name__, tuple(o.shape)))


def twice(net, *shape):
    run(net, shape, line, modules=lambda n: leaves(n) * 2)


def once_each(net, *shape):
    seen = set()

    def report(n, m, i, o):
        if n not in seen:
            line(n, m, i, o)
        seen.add(n)

    run(net, shape, report)


def silent(net, *shape):
    run(net, shape, lambda *_: None)


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
    training_mode: "changes the net: .*In which mode",
    stays_in_eval: "another mode",
    unfreezes: "another mode.*frozen",
    containers_too: "has modules of its own, and has a line for them, too",
    outermost_only: "a line for 1, which is no layer but has modules of its own, and prints none for those",
    late_binding: "every line has the name '4'. A hook runs after the loop",
    children_only: "leaves out",
    in_order_of_definition: "order in which they are defined",
    input_shapes: "shape of its output",
    without_batch: "without the batch",
    without_names: "no line of without_names",
    twice: "registered more than once",
    once_each: "one line for a layer that runs twice",
    silent: "prints nothing. Are the hooks",
    returns_text: "It returns something: print it",
    loses_gradients: "switches them off",
    fails: "raised TypeError",
    adds_a_weight: "changes the net: 0.weight",
}


@pytest.mark.parametrize("wrong", WRONG, ids=lambda f: f.__name__)
def test_wrong_printers_are_named(wrong, capsys):
    with pytest.raises(check.NotYet, match=WRONG[wrong]):
        check.shape_printer(wrong)
    assert capsys.readouterr().out == ""


def test_a_function_is_asked_for():
    with pytest.raises(TypeError, match="function itself"):
        check.shape_printer(None)
