"""Write the report as Markdown: a pure function of the results."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev

from common.comparison import verdicts
from common.comparison.associations import Associations
from common.comparison.prediction import decimals_of, prefix_of
from common.papers import isolation_forest
from common.papers.isolation_forest import Rebuilt
from common.report import further, held_out, sweeps
from common.report.conclusions import (
    Effect,
    deciding,
    effect_of,
    headline,
    outside_alone,
    range_of,
    shortened,
    spread_of,
)
from common.report.markup import escaped, filled, number, plain, quoted, ranges, table
from common.report.results import Ablation, ExperimentResults, Results

# Verdict on a single number of a row.
ALONE = "outside by itself"


def report(results: Results) -> str:
    """Write the whole report."""
    text = filled(
        "report.md.jinja",
        results=results,
        glance=held_out.page_one(results),
        how_to_read_held_out=held_out.how_to_read(),
        verdicts=verdict_table(results),
        summaries=[f"{name}: {_summary(entry)}" for name, entry in results.experiments.items()],
        all_sources=_all_sources(results),
        how_to_read_verdicts=how_to_read(),
        experiments=[experiment(name, entry, results.experiments) for name, entry in results.experiments.items()],
        rebuilt=rebuilt(results.rebuilt),
        appendix=held_out.appendix(results),
    )
    return f"{text.rstrip()}\n"


def how_to_read() -> str:
    """Explain the verdicts."""
    return filled("how_to_read_verdicts.md.jinja", verdicts=verdicts, alone=ALONE)


def verdict_table(results: Results) -> str:
    """Make the table of the verdicts on all printed rows and curves, with the number that each depends on."""
    rows = []
    for name, entry in results.experiments.items():
        for group in entry.comparison.groups:
            if group.obtained == "context":
                continue
            rows.append([f"`{name}`", group.title, *headline(group), _verdict(group)])
    counts = {entry.comparison.n_seeds for entry in results.experiments.values()}
    ours = f"ours, {counts.pop()} seeds: mean (range)" if len(counts) == 1 else "ours: mean (range)"
    headings = ["experiment", "printed row or curve", "number", "published", ours, "verdict"]
    return table(headings, rows)


def experiment(name: str, entry: ExperimentResults, entries: Mapping[str, ExperimentResults]) -> str:
    """Write the section of one experiment.

    Args:
        name: name of the experiment.
        entry: its results.
        entries: the results of all experiments of the report.
    """
    if entry.is_of_user:
        return held_out.on_own_data(name, entry, entries, further.section(entry))
    comparison = entry.comparison
    return filled(
        "experiment.md.jinja",
        name=name,
        entry=entry,
        holes=held_out.holes(entry),
        groups=[_group(group, entry.source.address) for group in comparison.groups],
        added=_added(entry),
        claims=_claims(comparison.claims),
        two_modes=[_two_modes(entry, given) for given in comparison.conditional],
        associations=_associations(entry.separation) if entry.separation else "",
        explanations=_explanations(entry),
        figure_seed=_figure_seed(entry),
        held_out=held_out.sections(name, entry, entries),
        further=further.section(entry),
        sweep=sweeps.section(entry.sweep),
    )


def rebuilt(column: Rebuilt | None) -> str:
    """Write the section on the column of a paper that is rebuilt; empty without one."""
    if column is None:
        return ""
    paper, printed = isolation_forest.printed()
    judged = dict(zip(paper.classes, isolation_forest.judge(column), strict=True))
    counts = Counter(one.verdict for one in judged.values())
    texts = {digit: one.texts() for digit, one in judged.items()}
    rows = [[str(digit), *numbers, f"**{verdict}**"] for digit, (*numbers, verdict) in texts.items()]
    return filled(
        "rebuilt.md.jinja",
        paper=paper,
        column=printed,
        rebuilt=column,
        summary=f"Of {len(judged)} rows: {'; '.join(f'{count} {verdict}' for verdict, count in counts.items())}.",
        exact=[
            f"The {name}: {same} of {total} numbers are equal to the printed ones in every decimal."
            for name, (same, total) in isolation_forest.count_exact(column).items()
        ],
        rows=table(["normal digit", "printed", "ours", "difference (interval)", "p", "verdict"], rows),
    )


def _figure_seed(entry: ExperimentResults) -> str:
    met = [given.condition.text for given in entry.comparison.conditional if entry.figure_seed in given.seeds]
    why = f", the first that meets the condition of the source: {'; '.join(met)}" if met else ""
    return f"These figures show seed {entry.figure_seed}{why}."


# Numbers.


def _group(group: verdicts.GroupResult, source: str) -> str:
    address = source if group.address is None else group.address
    rows = [
        [
            f"`{member.metric}`",
            member.printed if not address or group.obtained == "derived" else f"[{member.printed}]({address})",
            *_statistics(member),
            ALONE if outside_alone(member) else member.verdict,
        ]
        for member in group.members
    ]
    headings = ["number", "published", "mean", "sd", "range", "95 % interval", "verdict"]
    how = f" How: {group.how}." if group.how else ""
    title = (
        f"**{group.title}**: {_verdict(group)} ({group.obtained}, {group.n} of our runs). Where: {group.where}.{how}"
    )
    return f"{title}\n\n{table(headings, rows)}"


def _statistics(member: verdicts.MemberResult) -> list[str]:
    """Format the mean, the standard deviation, the range and the prediction interval of a number."""
    moments = [number(value, member.printed) for value in (member.mean, member.standard_deviation)]
    return [*moments, range_of(member), spread_of(member, member.interval)]


def _verdict(group: verdicts.GroupResult) -> str:
    text = group.verdict
    if group.provisional:
        text += ", provisional"
    if group.missing and text not in (verdicts.NOT_RUN, verdicts.NEXT_REFERENCE):
        text += f" ({group.missing} seeds missing)"
    quiet = verdicts.CONTEXT, verdicts.NOT_RUN, verdicts.NO_VERDICT, verdicts.NEXT_REFERENCE
    return text if text in quiet else f"**{text}**"


def _summary(entry: ExperimentResults) -> str:
    if entry.stand_in:
        return f"not compared, since these runs used {escaped(entry.stand_in)}."
    return summary_sentence(entry.comparison) if entry.seeds else "no finished run."


def summary_sentence(comparison: verdicts.Comparison) -> str:
    """Count the exact rows, the rows outside with the number that chance alone would put there, and the claims."""
    summary, claims = comparison.summary, [claim for claim in comparison.claims if not claim.reading]
    kept = sum(claim.holds == claim.n > 0 for claim in claims)
    outside = _outside_sentence(summary.outside, summary.one_run_groups, summary.expected_outside)
    sentences = {
        f"{summary.exact} of {summary.exact_groups} exact rows are exact.": summary.exact_groups,
        outside: summary.one_run_groups,
        f"{kept} of {len(claims)} claims hold in every seed.": claims,
    }
    found = [sentence for sentence, counted in sentences.items() if counted]
    return " ".join(found) or "Nothing to count: no exact row, no row from one run, and no claim in words."


def _outside_sentence(outside: int, rows: int, expected: float) -> str:
    most = math.ceil(round(100 * expected, 6)) / 100
    return (
        f"{outside} of {rows} rows and curves from single runs lie outside; chance alone would put at most {most:.2f} "
        "of them there on average."
    )


def _all_sources(results: Results) -> str:
    """Count the rows outside over all sources that are compared; empty if there are none."""
    summaries = [entry.comparison.summary for entry in results.experiments.values()]
    rows, outside = sum(one.one_run_groups for one in summaries), sum(one.outside for one in summaries)
    expected = sum(one.expected_outside for one in summaries)
    return f"Over all sources: {_outside_sentence(outside, rows, expected)}" if rows else ""


def _added(entry: ExperimentResults) -> str:
    """Make the table of metrics that the source does not give, with the reason."""
    rows = []
    for metric, reason in entry.not_published.items():
        values = entry.values(metric)
        numbers = [plain(fmean(values)), f"{plain(min(values))} to {plain(max(values))}"] if values else ["-", "-"]
        rows.append([f"`{metric}`", *numbers, str(len(values)), reason])
    ours = table(["number", "mean", "range", "seeds", "why the source has none"], rows)
    return f"Numbers of ours that the source does not give:\n\n{ours}" if rows else ""


def _claims(claims: Sequence[verdicts.ClaimResult]) -> str:
    rows = []
    for claim in claims:
        interval = "-" if claim.interval is None else f"{claim.interval[0]:.2f} to {claim.interval[1]:.2f}"
        missing = f", {claim.missing} missing" if claim.missing else ""
        text = f"{claim.text} (our reading, not counted)" if claim.reading else claim.text
        rows.append([text, f"{claim.holds} of {claim.n} seeds{missing}", interval])
    return table(["claim", "holds in", "rate, 95 % Wilson interval"], rows)


# Two modes of training.


def _two_modes(entry: ExperimentResults, given: verdicts.ConditionalResult) -> str:
    """Write the rates of both modes, the verdicts over all seeds and over those of one mode, and every seed."""
    if given.condition.interval is None:
        return ""
    over_all = {group.name: group for group in entry.comparison.groups}
    rows = []
    for group in given.groups:
        for label, judged in (("all", over_all[group.name]), ("those that meet it", group)):
            rows.append([group.title, label, str(judged.n), *headline(judged), _verdict(judged)])
    headings = ["printed row or curve", "seeds", "n", "number", "published", "ours", "verdict"]
    return filled(
        "two_modes.md.jinja",
        condition=given.condition,
        firm_seeds=verdicts.FIRM_SEEDS,
        verdicts=table(headings, rows),
        separated=_separated(entry, given),
        every_seed=_every_seed(entry, given),
    )


def _separated(entry: ExperimentResults, given: verdicts.ConditionalResult) -> list[str]:
    """Say for each free number whether the seeds that meet the condition and the others have a value in common."""
    sentences = []
    for metric, printed in _free(given).items():
        values = entry.by_seed(metric)
        meeting = [value for seed, value in values.items() if seed in given.seeds]
        others = [value for seed, value in values.items() if seed not in given.seeds]
        if meeting and others:
            apart = max(meeting) < min(others) or max(others) < min(meeting)
            ranges = " and ".join(f"{number(min(g), printed)} to {number(max(g), printed)}" for g in (meeting, others))
            sentences.append(f"`{metric}`: {ranges}, which {'do not overlap' if apart else 'overlap'}.")
    return sentences


def _free(given: verdicts.ConditionalResult) -> dict[str, str]:
    """Collect the free numbers of the rows under a condition, with the printed text."""
    return {member.metric: member.printed for group in given.groups for member in group.members if member.free}


def _every_seed(entry: ExperimentResults, given: verdicts.ConditionalResult) -> str:
    free, rows = _free(given), []
    for seed, metrics in entry.seeds.items():
        conditions = [plain(metrics.get(metric)) for metric in given.metrics]
        ours = [number(metrics.get(metric), printed) for metric, printed in free.items()]
        rows.append([str(seed), *conditions, "yes" if seed in given.seeds else "no", *ours])
    return table(["seed", *quoted(given.metrics), "meets it", *quoted(free)], rows)


def _associations(associations: Associations) -> str:
    rows = [
        [f"`{row.metric}`", str(row.n), *map(plain, (row.correlation, row.lower, row.upper))]
        for row in associations.rows
    ]
    return table(["metric", "seeds", "rank correlation", "median, lower half", "median, upper half"], rows)


# Explanations of differences.


def _explanations(entry: ExperimentResults) -> list[str]:
    groups = [
        group
        for group in entry.comparison.groups
        if group.verdict == verdicts.WITHIN_SPREAD or verdicts.lies_outside(group.verdict)
    ]
    if not groups:
        return []
    parts, shown = ["### What was tried", _about_ablations(entry)], set()
    # Another network of the source has printed rows of its own, which are no effect of a change.
    changed = [variant for variant in entry.variants if not _is_printed(variant, entry)]
    for group in groups:
        ablated = [(variant, found) for variant in changed if (found := _same_group(variant, group)) is not None]
        parts += [_difference(group), _effect_sentence(entry, group, ablated)]
        # Two runs of one source may have printed the same number: what concerns our runs alone is shown once.
        metric = deciding(group).metric
        if metric not in shown:
            if ablated:
                parts += [_ablation_table(entry, group, ablated), _spread_sentence(entry, group, ablated)]
            parts.append(_beside(entry, group))
        shown.add(metric)
    return parts


def _is_printed(variant: Ablation, entry: ExperimentResults) -> bool:
    """Check if an ablation is another network of the source, of which it printed numbers."""
    members = (member for group in entry.comparison.groups for member in group.members)
    return any(member.metric.startswith(prefix_of(variant.label)) for member in members)


def _same_group(variant: Ablation, group: verdicts.GroupResult) -> verdicts.GroupResult | None:
    """Find the verdict of an ablation on the same printed row; `None` if it does not compute the row."""
    found = (candidate for candidate in variant.comparison.groups if candidate.name == group.name)
    return next((candidate for candidate in found if candidate.verdict != verdicts.NOT_RUN), None)


def _about_ablations(entry: ExperimentResults) -> str:
    origins = sorted({variant.origin for variant in entry.variants})
    if not origins:
        return ""
    return (
        "Each line below repeats the runs with one change, which it names "
        f"(`--ablate`; results from {' and '.join(origins)}). "
        "The effect is the mean difference to the runs as published over the same seeds, with its 95 % interval by "
        "Student's t, not corrected for the number of effects."
    )


def _difference(group: verdicts.GroupResult) -> str:
    member = deciding(group)
    seeds = f"our {member.n} seeds range from {range_of(member)}"
    if group.verdict == verdicts.WITHIN_SPREAD:
        reach, tolerance = (number(value, member.printed) for value in (member.reach, member.tolerance))
        return (
            f"**{group.title}**: {group.verdict}. The interval of `{member.metric}` reaches {reach} from the published "
            f"{shortened(member.printed)}, against a tolerance of {tolerance}; {seeds}."
        )
    p_value = "p < 0.000001" if member.p_value is None or member.p_value < 1e-6 else f"p = {member.p_value:.2g}"
    return (
        f"**{group.title}**: {group.verdict}. `{member.metric}`: published {shortened(member.printed)}, {seeds} "
        f"({p_value} after Holm's correction)."
    )


Ablated = Sequence[tuple[Ablation, verdicts.GroupResult]]


def _ablation_table(entry: ExperimentResults, group: verdicts.GroupResult, ablated: Ablated) -> str:
    published = deciding(group)
    rows = [["as published", str(published.n), *_statistics(published), ""]]
    for variant, candidate in ablated:
        member = _member(candidate, published.metric)
        if member.n:
            effect = effect_of(entry, variant, published.metric)
            rows.append([variant.label, str(member.n), *_statistics(member), _signed(effect, published.printed)])
    for seeds in dict.fromkeys(tuple(variant.by_seed(published.metric)) for variant, _ in ablated):
        values = _over(entry, published.metric, seeds)
        if 1 < len(values) != published.n:
            texts = [number(value, published.printed) for value in (fmean(values), stdev(values))]
            span = " to ".join(number(end, published.printed) for end in (min(values), max(values)))
            rows.insert(1, [f"as published, seeds {ranges(seeds)}", str(len(values)), *texts, span, "", ""])
    headings = [f"`{published.metric}`", "seeds", "mean", "sd", "range", "95 % interval of a run", "effect"]
    return table(headings, rows)


def _signed(effect: Effect | None, printed: str) -> str:
    if effect is None:
        return "-"
    decimals = min(decimals_of(printed) + 2, 4)
    mean, low, high = (f"{value:+.{decimals}f}" for value in effect)
    return f"{mean} ({low} to {high})"


def _member(group: verdicts.GroupResult, metric: str) -> verdicts.MemberResult:
    return next(member for member in group.members if member.metric == metric)


def _effect_sentence(entry: ExperimentResults, group: verdicts.GroupResult, ablated: Ablated) -> str:
    """List the changes of settings with an effect whose interval excludes zero, and the direction of each."""
    published = deciding(group)
    found = {variant.label: effect_of(entry, variant, published.metric) for variant, _ in ablated}
    effects = {label: effect for label, effect in found.items() if effect is not None}
    shown = [
        f"{label}, by {_signed(effect, published.printed)}, {_direction(effect, published)}"
        for label, effect in effects.items()
        if effect.low * effect.high > 0
    ]
    if shown:
        return f"Effects on `{published.metric}` whose interval excludes zero: {'; '.join(shown)}."
    return f"No effect on `{published.metric}` has an interval that excludes zero." if effects else ""


def _direction(effect: Effect, published: verdicts.MemberResult) -> str:
    """Say where an effect leads: away from the published number, in its direction, or so far beyond it."""
    gap = float(published.printed) - (published.mean or 0.0)
    if gap * effect.mean <= 0:
        return "away from the published number"
    if abs(effect.mean) > 2 * abs(gap):
        return "beyond the published number and farther from it"
    return "in the direction of the published number"


def _spread_sentence(entry: ExperimentResults, group: verdicts.GroupResult, ablated: Ablated) -> str:
    """Compare the standard deviation under each ablation with that as published, if the spread decides the verdict."""
    published = deciding(group)
    if group.verdict != verdicts.WITHIN_SPREAD or not published.standard_deviation:
        return ""
    parts = []
    for variant, candidate in ablated:
        member = _member(candidate, published.metric)
        same_seeds = _over(entry, published.metric, variant.by_seed(published.metric))
        if member.standard_deviation is not None and len(same_seeds) > 1 and (spread := stdev(same_seeds)):
            parts.append(f"{variant.label} ({member.standard_deviation / spread:.0%})")
    if not parts:
        return ""
    return f"Standard deviation over the seeds, as a fraction of that as published: {'; '.join(parts)}."


def _over(entry: ExperimentResults, metric: str, seeds: Iterable[int]) -> list[float]:
    """Collect the values of a metric as published over the given seeds, as far as they have one."""
    known = entry.by_seed(metric)
    return [known[seed] for seed in seeds if seed in known]


def _beside(entry: ExperimentResults, group: verdicts.GroupResult) -> str:
    """Make the table of the spread of other metrics over the same seeds, for rows that name such metrics."""
    metrics = entry.beside.get(group.name, ())
    if not metrics:
        return ""
    rows = []
    for metric in [deciding(group).metric, *metrics]:
        values = entry.values(metric)
        if len(values) > 1:
            mean, spread = fmean(values), stdev(values)
            relative = f"{abs(spread / mean):.0%}" if mean else "-"
            rows.append([f"`{metric}`", str(len(values)), plain(mean), plain(spread), relative])
    heading = "Over the same seeds, beside metrics of the same runs that share some of its causes:"
    return f"{heading}\n\n{table(['number', 'seeds', 'mean', 'sd', 'sd / mean'], rows)}"
