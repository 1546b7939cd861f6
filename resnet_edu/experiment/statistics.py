"""What the records of a study say, and how far a few runs can be trusted.

Tables have training error first: a net that generalises badly is another matter than one that cannot even fit the
images it is shown. Nets with one seed see the same batches, so they are compared seed by seed, by Student's test.

Sources
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2 and figure 6.
  [2] "Student", "The probable error of a mean", Biometrika 6 (1908), pages 1-25.
"""

import math
import statistics
from collections.abc import Iterable, Sequence

from ..support.table import Column, Table, TableList
from .records import RunRecord, by_net, check_comparable, unseen

CLEAR = 1.0  # percentage points: a smaller difference of training errors is called none
LEARNT = 0.75  # of the error of guessing: a net above it has learnt too little to be compared
_MEANS = {  # what a summary has the means of: (heading, decimals)
    "train_error": ("train error %", 2),
    "test_error": ("test error %", 2),
    "train_loss": ("train loss", 3),
    "seconds": ("seconds", 1),
}


def mean_and_std(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean and the sample standard deviation (n - 1 below the line), None for one value."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """Return mean, and the ends of its 95% confidence interval by Student's t ([2]); NaN for fewer than two values."""
    from scipy.special import stdtrit  # scipy comes with scikit-learn; here, because it takes a while to import

    runs = len(differences)
    if runs < 2:
        return (math.nan,) * 3
    mean, std = mean_and_std(differences)
    half = float(stdtrit(runs - 1, 0.975)) * std / math.sqrt(runs)
    return mean, mean - half, mean + half


def with_spread(mean: float, std: float | None, decimals: int = 2) -> str:
    """Return a mean as text, with "±" and the standard deviation if there is one."""
    return f"{mean:,.{decimals}f}" + (f" ± {std:.{decimals}f}" if std is not None else "")


class Summary(TableList):
    """A list of one dict a net, that prints as a table and shows as one in a notebook; `unseen` names the test images.

    Keys: net, layers, parameters, seeds (how many), and mean over the seeds of train_loss (nats), train_error and
    test_error (percent), seconds, each with its sample standard deviation as `<key>_std` (None for one seed).
    """

    unseen = "test"

    def table(self) -> Table:
        """Return the table; numbers of seeds are in it if a net has several."""
        headings = {key: heading.replace("test", self.unseen) for key, (heading, _) in _MEANS.items()}
        columns = [Column("net", "net"), *(Column(key, heading, True) for key, heading in headings.items())]
        columns += [Column("layers", "layers", True), Column("parameters", "parameters", True)]
        if any(row["seeds"] > 1 for row in self):
            columns.append(Column("seeds", "seeds", True))
        rows = [
            row | {key: with_spread(row[key], row[f"{key}_std"], decimals) for key, (_, decimals) in _MEANS.items()}
            for row in self
        ]
        return Table("Errors and loss in eval mode, after the last step", columns, rows, results=True)


def summary(records: Iterable[RunRecord]) -> Summary:
    """Return one row a net, in the order of the records: means over the seeds, with standard deviations.

    Raises `records.RecordError` for records of different data sets or recipes, or for none.
    """
    rows = Summary()
    for net, group in by_net(records).items():
        row = {"net": net, "layers": group[0].depth, "parameters": group[0].parameters, "seeds": len(group)}
        for key in _MEANS:
            values = [r.seconds if key == "seconds" else r.final[key] for r in group]
            row[key], row[f"{key}_std"] = mean_and_std(values)
        rows.append(row)
    rows.unseen = unseen(group[0].dataset["name"])
    return rows


def progress(record: RunRecord, rows: int = 12) -> Table:
    """Return `rows` evaluations at most, the best and the last among them."""
    points, other = record.curves, unseen(record.dataset["name"])
    best = min(points, key=lambda p: (p["test_error"], p["test_loss"]))
    every = -(-len(points) // (rows - 1))
    columns, lines = [Column("step", "step", True), Column("lr", "rate", True)], []
    for part, name in (("train", "train"), ("test", other)):
        for what, unit in (("loss", ""), ("error", " %"), ("accuracy", " %")):
            columns.append(Column(f"{part}_{what}", f"{name} {what}{unit}", True))
    for p in (p for i, p in enumerate(reversed(points)) if i % every == 0 or p is best):
        lines.insert(0, {"step": int(p["step"]), "lr": f"{p['lr']:.3g}"})
        for part in ("train", "test"):
            loss, error = p[f"{part}_loss"], p[f"{part}_error"]
            lines[0] |= {f"{part}_loss": f"{loss:.4f}", f"{part}_error": f"{error:.2f}"}
            lines[0][f"{part}_accuracy"] = f"{100 - error:.2f}"
    notes = [f"The lowest {other} error is that of step {int(best['step']):,}."]
    caption = f"{record.net}, {record.parameters:,} parameters, in eval mode on all images; {record.seconds:.0f} s"
    return Table(caption, columns, lines, notes=notes, results=True)


def versus(first: list[RunRecord], second: list[RunRecord], names: tuple[str, str]) -> str:
    """Return one sentence on how much lower or higher the second's final test errors are, seed by seed."""
    errors = {r.seed: r.final["test_error"] for r in first}
    gaps = [r.final["test_error"] - errors[r.seed] for r in second if r.seed in errors]
    (_, least, most), other = interval(gaps), unseen(first[0].dataset["name"])
    words = f"{names[1]} against {names[0]}: {statistics.fmean(gaps):+.2f} points of {other} error"
    if len(gaps) < 2:
        return f"{words} with one seed, which says nothing about others."
    verdict = f"{len(gaps)} seeds do not tell which is lower" if least <= 0 <= most else "0 lies outside"
    return f"{words}, mean of {len(gaps)} seeds, 95% interval {least:+.2f} to {most:+.2f}: {verdict}."


def headline(records: Iterable[RunRecord]) -> str:
    """Return one sentence on the final training errors of the deepest and the shallowest plain net, and of their twins.

    The degradation shows if the deeper net is worse by `CLEAR`, and, of several seeds, if 0 lies below the `interval`
    of its gaps to the shallower one.

    Raises `records.RecordError` as `summary` does.
    """
    records = check_comparable(records)
    error = {(r.kind, r.depth, r.seed): r.final["train_error"] for r in records}
    depths = sorted(depth for kind, depth, _ in error if kind == "plain") or [0]
    low, high = depths[0], depths[-1]
    seeds = [s for kind, depth, s in error if (kind, depth) == ("plain", low) and ("plain", high, s) in error]
    if low == high or not seeds:
        return "What depth does cannot be told from these records: it takes plain nets of two depths with one seed."
    shallow, deep = (statistics.fmean(error["plain", depth, s] for s in seeds) for depth in (low, high))
    gaps = [error["plain", high, s] - error["plain", low, s] for s in seeds]
    gap, (_, least, most) = statistics.fmean(gaps), interval(gaps)
    several = f"means of {len(seeds)} seeds, 95% interval of the gap {least:+.1f} to {most:+.1f} points"
    over = several if len(seeds) > 1 else "one seed"
    begin = f"After {int(records[0].final['step']):,} steps on {records[0].dataset['name']}"
    both = f"plain{low} gets {shallow:.1f}% of its own training images wrong, plain{high} {deep:.1f}% ({over})"
    guessing = 100 * (1 - 1 / max(2, len(records[0].dataset.get("classes", ()))))  # percent
    if shallow > LEARNT * guessing:
        return f"{begin} it is too early to tell (guessing gets {guessing:.0f}% wrong): {both}; train for more steps."
    if gap < CLEAR:
        return f"{begin} the degradation does not show: {both}."
    if least <= 0:
        return f"{begin} {len(seeds)} seeds do not tell whether the deeper plain net is the worse one: {both}."
    shallow, deep = (
        statistics.fmean(error.get(("resnet", depth, s), math.nan) for s in seeds) for depth in (low, high)
    )
    if math.isnan(deep - shallow):
        twins = "for what shortcuts do, residual twins of both depths are needed"
    else:
        suffer = "hardly suffer" if deep - shallow < CLEAR else "suffer less" if deep - shallow < gap else "suffer too"
        twins = f"with shortcuts the same layers {suffer} from depth: "
        twins += f"resnet{low} {shallow:.1f}%, resnet{high} {deep:.1f}%"
    return f"{begin} the deeper plain net is the worse one, in training already: {both}; {twins}."
