"""Weights in a file: what a plain reading of the format finds in it, and files that are not what they should be."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from ship import rounded
from torch import nn

from resnet_edu.data import dataset as data
from resnet_edu.experiment.degradation import Study, build_net, run
from resnet_edu.nets.models import get_model
from resnet_edu.training import weights
from resnet_edu.training.loop import evaluate
from resnet_edu.training.recipe import Recipe
from resnet_edu.training.weights import WeightsError

TINY = Recipe(4, batch_size=16, lr=0.05, eval_every=2)


def by_hand(path: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """The words and the tensors of a file, read as its format is described: a length, a header, the bytes."""
    raw = path.read_bytes()
    end = 8 + struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:end])
    about = json.loads(header.pop("__metadata__")["resnet_edu"])
    kinds = {"F32": "<f4", "F16": "<f2", "I64": "<i8"}
    tensors = {
        name: np.frombuffer(raw[end + e["data_offsets"][0] : end + e["data_offsets"][1]], kinds[e["dtype"]]).reshape(
            e["shape"]
        )
        for name, e in header.items()
    }
    return about, tensors


class TestFile:
    @pytest.mark.parametrize("dtype", ["float32", "float16"])
    def test_a_plain_reading_finds_every_value(self, tmp_path, dtype):
        model = get_model("resnet8").to(memory_format=torch.channels_last)
        stored = rounded(model.state_dict()) if dtype == "float16" else model.state_dict()
        path = weights.save(stored, tmp_path / "w.safetensors", {"net": "resnet8", "seed": 3})
        about, tensors = by_hand(path)
        assert about == {"net": "resnet8", "seed": 3}
        state = model.state_dict()
        assert set(tensors) == set(state)
        for name, tensor in state.items():
            wanted = tensor.numpy().astype(dtype) if tensor.dim() > 1 else tensor.numpy()
            assert tensors[name].dtype == wanted.dtype
            assert np.array_equal(tensors[name], wanted)
        assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]

    def test_back_in_the_net(self, tmp_path):
        ours, other = get_model("resnet8"), get_model("resnet8")
        path = weights.save(ours.state_dict(), tmp_path / "w.safetensors", {})
        state = weights.read(path.read_bytes(), path)
        weights.load_into(other, state, path)
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), other.parameters(), strict=True))

    def test_float16_comes_back_as_float32(self, tmp_path):
        values = {"w": torch.tensor([[1 / 3]]), "n": torch.tensor(7), "running_var": torch.tensor([1e6])}
        path = weights.save(rounded(values), tmp_path / "w", {})
        state = weights.read(path.read_bytes())
        assert state["w"].dtype == torch.float32
        assert state["running_var"].item() == 1e6
        assert state["w"].item() == float(np.float16(1 / 3))
        assert state["n"].dtype == torch.int64

    def test_tied_weights(self, tmp_path):
        tied, other = (nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)) for _ in range(2))
        tied[1].weight = tied[0].weight
        path = weights.save(tied.state_dict(), tmp_path / "w", {})
        weights.load_into(other, weights.read(path.read_bytes()), path)
        assert torch.equal(other(torch.eye(3)), tied(torch.eye(3)))

    def test_what_cannot_be_written(self, tmp_path):
        with pytest.raises(ValueError, match="w has values beyond the range of float16"):
            rounded({"w": torch.tensor([[1e5]])})
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("damage", [b"", b"garbage", lambda whole: whole[:-1], lambda whole: whole[:20]])
    def test_a_damaged_file(self, tmp_path, damage):
        path = weights.save({"w": torch.zeros(5)}, tmp_path / "w", {})
        content = damage if isinstance(damage, bytes) else damage(path.read_bytes())
        with pytest.raises(WeightsError, match=r"w\.x is damaged: it is no safetensors file"):
            weights.read(content, "w.x")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda s: s.pop("fc.bias"), r'Missing key.*: "fc\.bias"'),
            (lambda s: s.update({"module.fc.bias": s["fc.bias"]}), r'Unexpected key.*: "module\.fc\.bias"'),
            (lambda s: s.update({"fc.bias": torch.zeros(4)}), r"size mismatch for fc\.bias: .*\[4\].*\[10\]"),
        ],
    )
    def test_weights_of_another_net(self, change, message):
        model = get_model("resnet8")
        state = dict(model.state_dict())
        change(state)
        with pytest.raises(WeightsError, match=f"^w does not fit the net: .*{message}"):
            weights.load_into(model, state, "w")

    @pytest.mark.parametrize("state", [[torch.zeros(1)], {0: torch.zeros(1)}, None])
    def test_what_are_no_weights_at_all(self, state):
        """A file of PyTorch's may hold anything."""
        with pytest.raises(WeightsError, match=r"^w\.pth does not fit the net: "):
            weights.load_into(get_model("resnet8"), state, "w.pth")


class TestStudy:
    def test_final_weights_give_the_records_errors(self, tmp_path):
        digits = data.load("digits").head(64, 32)
        (record,) = run(Study("resnet8", TINY, [2], workers=0, save_weights=True), digits, tmp_path, progress=False)
        left = ["resnet8-seed2.json", "resnet8-seed2.safetensors", "study.json"]
        assert sorted(p.name for p in tmp_path.iterdir()) == left
        path = tmp_path / "resnet8-seed2.safetensors"
        about, _ = by_hand(path)
        told = {"net": "resnet8", "seed": 2, "step": 4, "dataset": digits.name, "fingerprint": digits.fingerprint}
        assert about.items() >= told.items()
        model: nn.Module = build_net("resnet8", digits, seed=9)
        model.load_state_dict(weights.read(path.read_bytes()))
        for part in ("train", "test"):
            loss, error = evaluate(model, digits, part)
            assert loss == pytest.approx(record.final[f"{part}_loss"], rel=1e-5)
            assert error == record.final[f"{part}_error"]

    def test_weights_need_a_folder(self, tmp_path):
        with pytest.raises(ValueError, match="`save_weights` needs a folder"):
            run(Study("resnet8", TINY, save_weights=True), data.load("digits").head(64, 32))

    def test_none_unless_asked_for(self, tmp_path):
        run(Study("resnet8", TINY, workers=0), data.load("digits").head(64, 32), tmp_path, progress=False)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["resnet8-seed0.json", "study.json"]
