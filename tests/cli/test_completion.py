"""Completion, asked of a real shell."""

import shutil
import subprocess

import pytest

shtab = pytest.importorskip("shtab.main")


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not there")
def test_bash_completes_commands_and_options(tmp_path, capsys):
    shtab.main(["--shell=bash", "resnet_edu.cli.full_parser"])
    script = tmp_path / "resnet-edu"
    script.write_text(capsys.readouterr().out)
    for words, found in {
        "tr": {"trace", "train"},
        "trace --ba": {"--batch"},
        "trace resnet20 --view ": {"layers", "convs", "stages"},
        "degrade --hold": {"--hold-out"},
        "probe ": {"gradients", "responses", "lesions", "landscape", "identity"},
        "probe landscape --po": {"--points"},
    }.items():
        ask = f"""source {script}
            COMP_WORDS=({"resnet-edu " + words} {"''" * words.endswith(" ")}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
            $(complete -p resnet-edu | sed 's/.*-F \\([^ ]*\\).*/\\1/'); echo "${{COMPREPLY[@]}}" """
        done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
        assert found <= set(done.stdout.split()), (words, done.stdout, done.stderr)
