"""What the cells of a notebook call: begin a run, show a figure, and compare with published numbers."""

import contextlib
import sys
from collections.abc import Mapping
from statistics import fmean

from common import figures
from common.comparison.published import read_published
from common.experiment import PUBLISHED
from common.files import REPORTS
from common.metrics.scores import Metric
from common.report.conclusions import shortened
from common.report.markup import number, plain, table
from common.report.results import read_results
from common.runs import records
from common.training.fit import report_epochs_to
from common.training.keras import seeded
from common.training.surroundings import remove_deciding_variables, require_defaults

WIDTH = 30

_run = contextlib.ExitStack()


def begin(seed: int) -> None:
    """Seed everything that a run draws from, as `python -m experiments run` does, and show the progress of training.

    It holds until the next call.

    Args:
        seed: seed of the run.

    Raises:
        SuiteError: this process has set a library otherwise than by default.
    """
    require_defaults()
    remove_deciding_variables()
    _run.close()
    _run.enter_context(seeded(seed))
    _run.enter_context(report_epochs_to(_show_progress))


def _show_progress(epoch: int, epochs: int, loss: float) -> None:
    done = round(WIDTH * epoch / epochs)
    sys.stdout.write(f"\repoch {epoch} of {epochs} [{'#' * done}{'.' * (WIDTH - done)}] loss {loss:.4g}")
    sys.stdout.write("\n" if epoch == epochs else "")
    sys.stdout.flush()


def show(captioned: figures.CaptionedFigure) -> None:
    """Show a figure as the report does, with its caption."""
    from IPython.display import Image, Markdown, display

    display(Image(figures.png(captioned)), Markdown(f"*{captioned.caption}*"))  # type: ignore[no-untyped-call]


def compare(experiment: str, protocol: str, metrics: Mapping[str, Metric]) -> None:
    """Show the numbers of one run beside the published ones, and beside the runs of the reference report.

    Args:
        experiment: name of the experiment.
        protocol: protocol of the run. In the held-out one all numbers of the run are shown, but those of single epochs.
        metrics: metrics of the run.
    """
    from IPython.display import Markdown, display

    display(Markdown(comparison(experiment, protocol, metrics)))  # type: ignore[no-untyped-call]


def comparison(experiment: str, protocol: str, metrics: Mapping[str, Metric]) -> str:
    """Write the table that `compare` shows, as Markdown."""
    values, _ = records.flatten(metrics)
    entry = read_results(REPORTS / "reference").experiments[experiment]
    runs = entry.by_protocol[protocol]
    seeds = f"{len(runs.seeds)} seeds, mean (range)"
    if protocol != PUBLISHED:
        names = [name for name in values if ".epoch_" not in name]
        rows = [[f"`{name}`", plain(values[name]), _spread(runs.values(name), None)] for name in names]
        return table(["number", "this run", seeds], rows)
    verdicts = {group.name: group.verdict for group in entry.comparison.groups}
    rows = [
        [f"`{metric}`", shortened(printed), number(values.get(metric), printed), _spread(runs.values(metric), printed),
         verdicts.get(group.name, "")]
        for group in read_published(experiment).groups
        if group.obtained != "context"
        for metric, printed in group.numbers.items()
    ]  # fmt: skip
    return table(["number", "published", "this run", seeds, "verdict over these seeds"], rows)


def _spread(values: list[float], printed: str | None) -> str:
    if not values:
        return "-"
    numbers = fmean(values), min(values), max(values)
    texts = [plain(value) if printed is None else number(value, printed) for value in numbers]
    return f"{texts[0]} ({texts[1]} to {texts[2]})"
