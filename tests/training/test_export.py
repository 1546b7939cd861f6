"""A net for other programs, where it cannot be written. That it gives what PyTorch gives: tests/cli/test_predict.py."""

import pytest
from small_photos import photos

from resnet_edu.training import export as exports
from resnet_edu.training.export import export

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return photos(tmp_path_factory.mktemp("photos"))


def test_what_differs_is_not_kept(trained, tmp_path, monkeypatch):
    pytest.importorskip("onnx")
    (_, classifier), real = trained, exports._logits
    monkeypatch.setattr(exports, "_logits", lambda content, pixels: real(content, pixels) + 0.01)
    with pytest.raises(RuntimeError, match="differs from PyTorch by"):
        export(classifier, tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_without_the_packages(trained, tmp_path, monkeypatch):
    _, classifier = trained
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install onnx onnxruntime onnxscript"):
        export(classifier, tmp_path / "net.onnx")
