"""Which chapters a build runs again."""

from pathlib import Path

import make_site
import nbformat
import pytest


@pytest.mark.slow
def test_a_chapter_runs_again_when_what_it_imports_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    """A package of two modules and a record, and a chapter that imports one module, in real kernels."""
    package, chapter = tmp_path / "resnet_edu", tmp_path / "notebooks" / "01-one.ipynb"
    for path in (package, chapter.parent):
        path.mkdir()
    for name in ("__init__.py", "used.py", "other.py", "record.json"):
        (package / name).write_text("")
    cell = nbformat.v4.new_code_cell("import resnet_edu.used\nprint(open(resnet_edu.used.__file__).read())")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), chapter)
    executed = tmp_path / "executed"
    for name, value in {"ROOT": tmp_path, "CACHE": tmp_path / "cache", "EXECUTED": executed}.items():
        monkeypatch.setattr(make_site, name, value)
    monkeypatch.setattr(make_site, "toc_documents", lambda: ["notebooks/01-one"])
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def runs() -> bool:
        make_site.execute_chapters()
        (only,) = nbformat.read(executed / chapter.name, as_version=4).cells
        assert only.outputs[0].text.strip() == (package / "used.py").read_text(), "the page shows the last run"
        return "running" in capsys.readouterr().out

    assert runs()
    assert not runs()
    (package / "other.py").write_text("# of no use to this chapter")
    assert not runs()
    for name in ("used.py", "record.json"):
        (package / name).write_text("1")
        assert runs(), name
        assert not runs(), name
