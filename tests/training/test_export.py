"""A net for other programs: what is written gives what PyTorch gives."""

import json

import numpy as np
import pytest
import torch
from small_photos import CLASSES, photos

from resnet_edu.training import export as exports
from resnet_edu.training.export import export

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return photos(tmp_path_factory.mktemp("photos"))


def test_onnx_runtime_gives_the_probabilities(trained, tmp_path):
    for name in exports.NEEDED:
        pytest.importorskip(name)
    import onnx
    import onnxruntime

    dataset, classifier = trained
    path = tmp_path / "net.onnx"
    assert export(classifier, path) < 1e-4
    onnx.checker.check_model(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == list(CLASSES)
    for count in (1, 7):
        pixels = dataset.test_images[:count]
        logits, probabilities = session.run(None, {"pixels": pixels.numpy()})
        with torch.no_grad():
            wanted = classifier.net(classifier.normalized(pixels)).numpy()
        assert np.abs(logits - wanted).max() < 1e-4
        assert np.allclose(probabilities, classifier.predict(pixels).probabilities.numpy(), atol=1e-5)


def test_what_differs_is_not_kept(trained, tmp_path, monkeypatch):
    pytest.importorskip("onnx")
    _, classifier = trained
    monkeypatch.setattr(exports, "_written", _wrong)
    with pytest.raises(RuntimeError, match="differs from PyTorch by"):
        export(classifier, tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def _wrong(program, path, classes, pixels):
    path.write_bytes(b"")
    return program.module()(pixels)[0].detach() + 0.01


def test_without_the_packages(trained, tmp_path, monkeypatch):
    _, classifier = trained
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install onnx onnxruntime onnxscript"):
        export(classifier, tmp_path / "net.onnx")
