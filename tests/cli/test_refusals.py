"""What the command line refuses: 2 for wrong usage, 1 for what cannot be done, a line that says why, nothing lost."""

import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from processes import COMMAND
from small_photos import parts

from resnet_edu import cli
from resnet_edu.data import load
from resnet_edu.nets import cifar_net
from resnet_edu.training import Classifier

LONGEST = 250  # characters: of most far fewer
OWN = """
from torch import nn
def fails(**_): raise KeyError("lost")
def empty(**_): return None
def needy(a, b): return nn.ReLU()
def narrow(num_classes): return nn.Sequential(nn.Flatten(), nn.Linear(5, num_classes))
number = 5
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Path:
    """A folder with photos, weights, and much that is none."""
    folder = tmp_path_factory.mktemp("here")
    parts(folder / "photos", count=4, size=8)
    for name in ("empty", "one/cat", "taken", "sick", "future"):
        (folder / name).mkdir(parents=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "one" / "cat" / "0.png")
    (folder / "file").write_text("no image")
    (folder / "taken" / "x.json").write_text("{}")
    (folder / "sick" / "study.json").write_text("[]")
    (folder / "future" / "study.json").write_text('{"schema": 99}')
    (folder / "refused_nets.py").write_text(OWN)
    digits = load("digits").head(64, 32)
    whole = Classifier.of(cifar_net(8, in_channels=1), digits, "resnet8").save(folder / "w.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(whole[:999])
    return folder


@pytest.fixture(autouse=True)
def process(monkeypatch, here):
    """The commands import from the working directory."""
    monkeypatch.setattr(sys, "path", [str(here), *sys.path])
    monkeypatch.chdir(here)


def all_files(folder: Path) -> dict[str, bytes]:
    paths = [p for p in folder.rglob("*") if "__pycache__" not in p.parts and p.name != "runs"]
    return {str(p): p.read_bytes() if p.is_file() else b"" for p in paths}


USAGE = {
    "": "required: COMMAND",
    "nonsense resnet20": "invalid choice: 'nonsense'",
    "trace": "required: NAME",
    "trace ''": "an argument is empty",
    "trace resnet20 --view nope": "argument --view: ",
    "trace resnet20 --device tpu": "argument --device: ",
    **{f"trace resnet20 --input={shape}": "argument --input: " for shape in ("axb", "0x3x3", "-3x3", "3x", "3.5")},
    **{f"trace resnet20 --input={shape}": "argument --input: " for shape in ("16:", "16:longer", "16:nn", ":long")},
    **{f"trace resnet20 --batch={number}": "argument --batch: " for number in ("two", "2x2", "9" * 5000)},
    "degrade --data ''": "an argument is empty",
    "degrade --out=": "an argument is empty",
    "degrade --steps 1 --epochs 1": "not allowed with",
    "train --net resnet8 --seed 1 --seeds 2": "not allowed with",
    "degrade --steps 1e3": "argument --steps: invalid int value: '1e3'",
    "degrade --lr x": "argument --lr: ",
    "degrade --precision half": "argument --precision: ",
    "degrade --data photos --channels 2": "argument --channels: ",
    "train --net resnet8 --optimizer adam": "argument --optimizer: ",
    "predict": "required: WEIGHTS",
    "predict w.safetensors --export h5": "argument --export: ",
    "probe": "required: QUESTION",
    "probe gradients --steps 0,x": "argument --steps: invalid whole_numbers value: '0,x'",
    "results --study a --records b": "not allowed with",
}


@pytest.mark.parametrize(("words", "said"), USAGE.items())
def test_wrong_usage(words, said, capsys, here):
    before = all_files(here)
    with pytest.raises(SystemExit) as stop:
        cli.main(shlex.split(words))
    assert stop.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert all_files(here) == before


OF_OTHERS = "--data photos --steps 1 --batch-size 4 --device cpu"
FAILURES = {
    "trace resnet21": "6n+2",
    "trace resnet9999999998": "`depth` must be from 1 to 10,000",
    "trace vgg16": "unknown net 'vgg16'",
    "trace torchvision:resnet5": "Unknown model resnet5",
    "trace torchvision:": "Unknown model",
    "trace no_such_package_at_all:net": "cannot import 'no_such_package_at_all:net'",
    "trace :net": "package.module:callable",
    "trace ../x:net": "cannot import '../x:net'",
    "trace resnet20 --input 1x32x32": "takes 3 channels, not 1",
    "trace resnet20 --input 32": "the layer takes 4 sizes: batch, channels and those of the image",
    "trace resnet20 --stride-in 1x1": "--stride-in is for bottlenecks",
    "trace resnet20 --batch 0": "at least 1",
    "trace resnet20 --batch 99999999999999999999": "must be below 2**63",
    "trace plain20 --shortcut projection": "has no shortcut",
    "trace resnet20 --shortcut wormhole": "'wormhole'",
    "trace torchvision:resnet18 --shortcut projection": "--shortcut: only for the nets of this package",
    "trace torchvision:vgg11 --input 3x16x16": "is too small",
    "trace torchvision:vgg11 --view stages": "no 'stages' view",
    "degrade --nets vgg16": "unknown net 'vgg16'",
    "degrade --nets resnet21": "6n+2",
    "degrade --nets ,": "`nets` must have one entry at least",
    "degrade --nets :": "the net ':' cannot be imported",
    "degrade --nets refused_nets:number": "must be a callable that returns a net, but it is 5",
    f"degrade --nets refused_nets:fails {OF_OTHERS}": "refused_nets:fails() failed: KeyError: 'lost'",
    f"degrade --nets refused_nets:narrow {OF_OTHERS}": "the net fails for images (2, 3, 8, 8): RuntimeError: mat1",
    "degrade --data nowhere": "there is no folder nowhere",
    "degrade --data file": "file is a file, but a folder of class folders is needed",
    "degrade --data empty": "is empty: it must hold one folder a class",
    "degrade --data one": "holds one class only, 'cat'",
    "degrade --data photos --resize 0": "`resize` must be at least 1, but it is 0",
    "degrade --data photos --resize 99999999": "GB are free: at most --resize",
    "degrade --resize 5": "`resize` is for a folder, but 'digits' has images of 8x8",
    "degrade --seeds 0": "`seeds` must be from 1 to 10,000, but it is 0",
    "degrade --steps 0": "`steps` must be at least 1",
    "degrade --epochs 0": "`--epochs` must be at least 1",
    "degrade --batch-size 5000": "`batch_size` is 5000, but digits has only 1437",
    "degrade --batch-size 5000 --epochs 1": "--batch-size is 5000, but there are only 1437",
    "degrade --batch-size 0": "`batch_size` must be at least 1",
    "degrade --lr -1": "`lr` must be greater than 0",
    "degrade --lr 1e400": "`lr` must be a finite number, but it is inf",
    "degrade --weight-decay nan": "`weight_decay` must be a finite number",
    "degrade --eval-every 0": "`eval_every` must be at least 1",
    "degrade --recipe paper --steps -1": "`steps` must be at least 1",
    "degrade --hold-out 99999": "`count` must be from 10 to 1,427, but it is 99999",
    "degrade --checkpoint-seconds nan": "`checkpoint_seconds`",
    "degrade --device gpu": "must be auto, cpu, cuda or mps",
    "degrade --workers -1": "`workers`",
    "degrade --mirrors http://a": "--mirrors are addresses of CIFAR-10, but --data is digits",
    "degrade --retries 5": "--retries is for a Ray cluster: add --engine ray",
    "degrade --out /proc/nowhere": "cannot write into the output folder",
    "degrade --out file": "cannot write into the output folder file (File exists): name another (--out)",
    "degrade --out taken": "taken already holds x.json, and nothing is overwritten",
    "degrade --resume nowhere": "there is no study to resume in nowhere",
    "degrade --resume sick": "is none of our files: it has no field 'schema'",
    "degrade --resume future": "has schema 99, but this version of resnet_edu knows 3 at most: update it",
    "degrade --resume empty --steps 3": "there is no study to resume in empty",
    "train": "name a net, such as --net resnet20",
    "train --net vgg": "unknown net 'vgg'",
    "train --net resnet8 --seed -1": "`seeds` must be at least 0, but it is -1",
    "train --net resnet8 --seed 99999999999999999999": "`seeds` must be below 2**63",
    "train --net resnet8 --keep best": "--keep best needs --hold-out N",
    "train --net resnet8 --more-steps 0": "`--more-steps` must be at least 1",
    "train --net resnet8 --more-steps 5 --seeds 2": "--more-steps goes on with one run: name its seed, --seed N",
    "train --net resnet8 --more-steps 5 --out new": "there is no run of resnet8 (seed 0) in new to go on with",
    "train --net resnet8 --body-share 1": "--body-share is for weights to start from: add --start",
    "train --net resnet8 --freeze-epochs 1": "--freeze-epochs is for weights to start from: add --start",
    "train --start-from w.safetensors --freeze-epochs -1": "`--freeze-epochs` must be at least 0, but it is -1",
    "train --start-from none.safetensors": "there is no file none.safetensors",
    "train --start-from cut.safetensors": "cut.safetensors is damaged: it is no safetensors file",
    "train --start-from empty": "cannot read empty (Is a directory)",
    "train --start-from w.safetensors --net resnet20": "w.safetensors has weights of resnet8, but --net is resnet20",
    "train --start-from torchvision --net resnet8": "torchvision has no weights of resnet8",
    "train --start-from shipped --net resnet8": "has no record of resnet8 with seed 0: there are",
    f"train --net refused_nets:fails {OF_OTHERS}": "refused_nets:fails() failed: KeyError: 'lost'",
    f"train --net refused_nets:empty {OF_OTHERS}": "`model` must be of type Module, but it is None",
    f"train --net refused_nets:needy {OF_OTHERS}": "refused_nets:needy() failed: TypeError: needy() missing 2",
    "predict w.safetensors": "name a photo or a folder to label, or --export",
    "predict w.safetensors nowhere.jpg": "there is no nowhere.jpg",
    "predict w.safetensors empty": "empty holds no image that Pillow can read",
    "predict w.safetensors photos": "photos has folders that are no classes of this net (china, flower)",
    "predict w.safetensors photos/test/china/0.jpg --device tpu": "`device` must be auto",
    "predict w.safetensors photos/test/china/0.jpg --net os:sep": "must be a callable that returns a net, but it is",
    "predict w.safetensors photos/test/china/0.jpg --maps --out file --format csv": "file: File exists",
    "predict nowhere.safetensors file": "there is no file nowhere.safetensors: give the .safetensors",
    "predict cut.safetensors file": "cut.safetensors is damaged",
    "probe gradients --nets resnet9": "9",
    "probe gradients --nets resnet8 --steps 5,1": "must be whole numbers that ascend",
    "probe gradients --nets resnet8 --steps 0 --seed 99999999999999999999": "`seed` must be below 2**63",
    "probe gradients --data photos": "no nets trained on photos come with the package: name some",
    "probe lesions --weights none.safetensors": "there is no none.safetensors",
    "probe lesions --weights cut.safetensors": "cut.safetensors is damaged",
    "probe lesions --weights some.safetensors --nets resnet8": "says itself which net it is of: leave --nets out",
    "probe lesions --nets resnet8": "has no record of resnet8",
    "probe lesions --nets ,": "--nets must be names of nets, each once, such as plain20,resnet20: it is ''",
    "probe responses --nets resnet20,plain20,resnet20": "each once, such as plain20,resnet20: it is",
    "probe landscape --nets resnet20 --points 0": "`points` must be at least 3, but it is 0",
    "probe landscape --nets resnet20 --points 4": "`points` must be odd",
    "probe landscape --nets resnet20 --reach nan": "`reach` must be a finite number",
    "probe identity --nets plain20 --added 0": "`added` must be at least 1",
    "probe responses --data nowhere": "nowhere",
    "probe responses --device tpu": "`device` must be auto, cpu, cuda or mps",
    "results --study nope": "no study 'nope' comes with the package: there is",
    "results --records nowhere": "there is no folder nowhere",
    "results --records taken": "x.json is none of our files: it has no field 'schema'",
    "results --records empty": "holds no record",
}


@pytest.mark.parametrize(("words", "said"), FAILURES.items())
def test_what_cannot_be_done(words, said, capsys, here):
    before = all_files(here)
    assert cli.main(shlex.split(words)) == 1
    out, err = capsys.readouterr()
    last = err.splitlines()[-1]
    assert out == "" or words.startswith("predict")  # what was predicted is not kept back
    assert said in last
    assert last.startswith(f"resnet-edu {words.split()[0]}: ")
    assert len(last) <= LONGEST
    assert "Traceback" not in err
    assert "To go on" not in err
    assert all_files(here) == before  # nothing is lost, and nothing left behind


def no_git(*_, **__) -> None:
    raise FileNotFoundError("git")


@pytest.mark.parametrize(
    ("words", "file"),
    [
        ("train --net resnet8 --steps 1 --batch-size 16 --device cpu", "resnet8-seed0.safetensors"),
        ("degrade --quick --nets resnet8 --steps 1 --workers 0 --device cpu", "study.json"),
        ("predict w.safetensors photos/test/china/0.jpg --maps", "maps-1-0.png"),
        ("probe responses --weights w.safetensors --images 20", "responses-resnet8.json"),
    ],
)
def test_a_full_disk(words, file, capsys, here, monkeypatch):
    """A real one, as far as the system can play it: no file may grow beyond so many bytes."""
    resource = pytest.importorskip("resource")
    # git would be ended by it in the middle, and leave a lock in this very checkout.
    monkeypatch.setattr("resnet_edu.support.system.subprocess.run", no_git)
    monkeypatch.setattr("resnet_edu.probes.subject._code", dict)  # it remembers
    before, limits = all_files(here), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        assert cli.main(shlex.split(f"{words} --out full")) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    said = capsys.readouterr().err
    assert f"cannot write {Path('full', file)} (File too large): make room on its disk" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert {path for path in all_files(here) if Path(path).is_file()} <= set(before)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_for_what_is_printed():
    with open("/dev/full", "w") as full:
        done = subprocess.run([*COMMAND[:-1], "results"], stdout=full, stderr=subprocess.PIPE, text=True)
    said = "resnet-edu results: cannot print all of it: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, said)
