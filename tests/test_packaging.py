"""The wheel: everything of the package, nothing else, and metadata that leaves a reader's environment alone."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path

import pytest
import yaml
from bare import BareEnvironment
from packaging.requirements import Requirement

import resnet_edu

TOOLS = ("book", "test")  # extras with what works on the project alone; everything else takes what is there


@pytest.fixture(scope="module")
def wheel(wheel_file: Path) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(wheel_file) as archive:
        yield archive


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(root: Path, wheel: zipfile.ZipFile):
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    package = root / "resnet_edu"
    on_disk = {
        path.relative_to(root).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == on_disk
    assert "resnet_edu/py.typed" in names
    assert sum(item.compress_size for item in wheel.infolist()) < 10e6


@pytest.mark.slow
def test_the_wheel_holds_the_shipped_studies(wheel: zipfile.ZipFile):
    manifests = [name for name in wheel.namelist() if name.endswith("/study.json")]
    assert "resnet_edu/experiment/results/digits/study.json" in manifests
    for manifest in manifests:
        for name, said in json.loads(wheel.read(manifest))["files"].items():
            content = wheel.read(f"{manifest.rsplit('/', 1)[0]}/{name}")
            assert hashlib.sha256(content).hexdigest() == said["sha256"]


@pytest.mark.slow
def test_the_wheel_says_what_it_is(wheel: zipfile.ZipFile):
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = HeaderParser().parsestr(wheel.read(name).decode())
    assert metadata["Name"] == "resnet-edu"
    assert metadata["Version"] == resnet_edu.__version__
    assert metadata["License-Expression"] == "MIT"
    for text in metadata.get_all("Requires-Dist"):
        requirement = Requirement(text)
        if requirement.marker and any(requirement.marker.evaluate({"extra": extra}) for extra in TOOLS):
            continue
        for bound in requirement.specifier:
            assert bound.operator == ">=", f"{text}: lower bounds only, see the comment in pyproject.toml"


def test_versions_agree(root: Path):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert project["version"] == resnet_edu.__version__
    assert f"version: {resnet_edu.__version__}\n" in (root / "CITATION.cff").read_text()


SMOKE = """
from resnet_edu.cli import main

quick = "--nets resnet8 --steps 2 --workers 0 --device cpu --out study"
for words in ("trace resnet50", "results --study digits", f"degrade --quick {quick}"):
    assert main(words.split()) == 0, words
"""


@pytest.mark.slow
def test_wheel_and_sdist_install_into_a_clean_environment_and_work(
    root: Path, wheel: zipfile.ZipFile, wheel_file: Path, sdist_file: Path, tmp_path: Path
):
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    needed = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    bare = BareEnvironment(tmp_path / "python", tuple(Requirement(text).name for text in needed))
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    install = (
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
        "--force-reinstall",
    )
    wanted = {name for name in wheel.namelist() if ".dist-info/" not in name}

    def run(*words: str) -> str:
        done = subprocess.run([bare.python, *words], cwd=tmp_path, env=alone, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    for file in (sdist_file, wheel_file):
        run(*install, "--no-compile", str(file))
        assert wanted <= {str(path.relative_to(bare.packages)) for path in (bare.packages / "resnet_edu").rglob("*")}
    assert "25,557,032" in run("-c", SMOKE)  # parameters of ResNet-50, in torchvision's documentation
    assert (tmp_path / "study" / "resnet8-seed0.json").is_file()


@pytest.mark.slow
def test_the_command_is_installed():
    command = shutil.which("resnet-edu", path=str(Path(sys.executable).parent))
    assert command, "`resnet-edu` is not installed beside this Python"
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert resnet_edu.__version__ in done.stdout


def test_the_workflow_runs_what_is_there_and_pins_its_actions(root: Path):
    workflow = yaml.safe_load((root / ".github" / "workflows" / "book.yml").read_text(encoding="utf-8"))
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    for action in [step["uses"] for step in steps if "uses" in step]:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", action)
    targets = re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(encoding="utf-8"), flags=re.M)
    commands = [step["run"] for step in steps if "run" in step]
    assert {c.removeprefix("make ") for c in commands if c.startswith("make ")} <= set(targets)
    assert "bash .ci/run" in commands
    assert workflow["jobs"]["publish"]["needs"] == ["build", "package"], "what fails is not published"
    supported = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    assert f">={workflow['jobs']['package']['strategy']['matrix']['python'][0]}" == supported
