"""The checker of test functions: right ones of several styles pass, and each known mistake is named."""

import pytest
import torch
import torch.nn.functional as F

from resnet_edu import check


def right(model, batches):
    model.eval()
    good = seen = loss = 0
    with torch.no_grad():
        for images, labels in batches:
            logits = model(images)
            loss += F.cross_entropy(logits, labels).item() * len(labels)
            good += (logits.argmax(1) == labels).sum()
            seen += len(labels)
    return loss / seen, good / seen


def accuracy_alone(model, batches):
    return right(model, batches)[1].item()


def by_dataset(model, batches):
    images, labels = batches.dataset.tensors
    with torch.inference_mode():
        return (model.eval()(images).argmax(1) == labels).float().mean()


def mode_is_put_back(model, batches):
    was = model.training
    value = right(model, batches)
    model.train(was)
    return value


def with_gradients_on(model, batches):
    model.eval()
    good = 0
    for images, labels in batches:
        logits = model(images)
        good += (logits.argmax(1) == labels).sum().item()
    return good / len(batches.dataset)


@pytest.mark.parametrize("function", [right, accuracy_alone, by_dataset, mode_is_put_back, with_gradients_on])
def test_right_functions_pass(function, capsys):
    check.evaluation(function)
    assert "✓" in capsys.readouterr().out


def no_eval(model, batches):
    with torch.no_grad():
        return sum((model(x).argmax(1) == y).sum().item() for x, y in batches) / len(batches.dataset)


def copied_in_training(model, batches):
    import copy

    return no_eval(copy.deepcopy(model).train(), batches)


def steps(model, batches):
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    model.eval()
    for x, y in batches:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return right(model, batches)


def backward_alone(model, batches):
    model.eval()
    for x, y in batches:
        F.cross_entropy(model(x), y).backward()
    return right(model, batches)


def backward_without_gradients(model, batches):
    with torch.no_grad():
        for x, y in batches:
            F.cross_entropy(model(x), y).backward()


def batch_means(model, batches):
    model.eval()
    shares = [(model(x).argmax(1) == y).float().mean() for x, y in batches]
    return sum(shares).item() / len(shares)


def loss_of_batch_means(model, batches):
    model.eval()
    losses = [F.cross_entropy(model(x), y).item() for x, y in batches]
    return sum(losses) / len(losses), right(model, batches)[1]


def times_batch_size(model, batches):
    return accuracy_alone(model, batches) * len(batches.dataset) / (len(batches) * batches.batch_size)


def sum_of_tensors(model, batches):
    model.eval()
    loss = sum(F.cross_entropy(model(x), y, reduction="sum") for x, y in batches)
    return loss.item() / len(batches.dataset), accuracy_alone(model, batches)


def last_left_out(model, batches):
    return accuracy_alone(model, [b for b in batches if len(b[0]) == batches.batch_size])


WRONG = {
    no_eval: "running statistics of batch normalisation move",
    copied_in_training: "in training mode",
    steps: "changes [0-9] of the model's weights",
    backward_alone: "leaves gradients behind",
    backward_without_gradients: "raised RuntimeError: element 0 of tensors does not require grad",
    batch_means: "the mean of the batches' means",
    loss_of_batch_means: "`the loss of loss_of_batch_means` .*the mean of the batches' means",
    times_batch_size: "divided by batches times batch size",
    sum_of_tensors: "holds on to the graphs",
    last_left_out: "without the last, smaller batch",
    lambda m, b: 1 - accuracy_alone(m, b): "that is the error",
    lambda m, b: 100 * accuracy_alone(m, b): "Is it in percent",
    lambda m, b: right(m, b)[::-1]: "too|that is",
    lambda m, b: None: "a number is expected",
    lambda m, b: 0.5: "`the accuracy of <lambda>` is 0.5",
}


@pytest.mark.parametrize("function", WRONG, ids=lambda f: f.__name__)
def test_each_mistake_is_named(function):
    with pytest.raises(check.NotYet, match=WRONG[function]):
        check.evaluation(function)


def test_only_functions_are_checked():
    with pytest.raises(TypeError, match="the function itself"):
        check.evaluation(0.9)
