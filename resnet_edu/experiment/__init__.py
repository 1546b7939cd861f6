"""The degradation experiment: nets x seeds, their records, and what the records say."""

from .ablations import Effect, Effects, effects, interval
from .degradation import build_net, default_recipe, resume, run, run_cell
from .folder import NETS, Cell, Source, Study, StudyError
from .published import REFERENCES, results
from .records import RecordError, RunRecord, load, load_dir
from .shipped import load_grid, load_records, load_study, load_trained
from .statistics import TRIALS, Spread, coverage, gap, headline, seeds_needed, spread, summary, told_apart, wrong_winner

__all__ = [
    "NETS",
    "REFERENCES",
    "TRIALS",
    "Cell",
    "Effect",
    "Effects",
    "RecordError",
    "RunRecord",
    "Source",
    "Spread",
    "Study",
    "StudyError",
    "build_net",
    "coverage",
    "default_recipe",
    "effects",
    "gap",
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
    "seeds_needed",
    "spread",
    "summary",
    "told_apart",
    "wrong_winner",
]
