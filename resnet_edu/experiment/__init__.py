"""The degradation experiment: nets x seeds, their records, and what the records say."""

from .ablations import Effect, Effects, effects
from .degradation import build_net, default_recipe, resume, run, run_cell
from .folder import NETS, Cell, Source, Study, StudyError
from .published import REFERENCES, results
from .records import RecordError, RunRecord, load, load_dir
from .shipped import load_grid, load_records, load_study, load_trained
from .statistics import headline, interval, summary

__all__ = [
    "NETS",
    "REFERENCES",
    "Cell",
    "Effect",
    "Effects",
    "RecordError",
    "RunRecord",
    "Source",
    "Study",
    "StudyError",
    "build_net",
    "default_recipe",
    "effects",
    "headline",
    "interval",
    "load",
    "load_dir",
    "load_grid",
    "load_records",
    "load_study",
    "load_trained",
    "results",
    "resume",
    "run",
    "run_cell",
    "summary",
]
