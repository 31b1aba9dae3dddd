"""Write the report as Markdown: a pure function of the results."""

from collections.abc import Sequence
from statistics import fmean, median, stdev

from common.comparison.associations import Associations
from common.comparison.verdicts import (
    CONTEXT,
    DIFFERS,
    EXACT,
    NO_VERDICT,
    NOT_RUN,
    OUTSIDE,
    REPRODUCED,
    WITHIN_SPREAD,
    ClaimResult,
    Comparison,
    ConditionalResult,
    GroupResult,
    MemberResult,
    lies_outside,
)
from common.report import held_out
from common.report.conclusions import deciding, half_width, headline, outside_alone, shortened, spread_of
from common.report.markup import escaped, number, paragraph, plain, quoted, ranges, shown, table
from common.report.results import Ablation, Environment, ExperimentResults, Results

# Verdict on a single number of a row.
ALONE = "outside by itself"

HOW_TO_READ = f"""\
- **{EXACT}**: the number follows from data and a deterministic method, and our value, formatted as its source formats
  it, equals the printed text.
- **{REPRODUCED}**: the number comes from one unseeded run of the source. It does not lie outside (see below), and the
  half-width of our 95 % prediction interval for one further run is within a tolerance that was fixed beforehand.
- **{WITHIN_SPREAD}**: it does not lie outside either, but our own runs differ so much that this says little.
- **{DIFFERS} (higher | lower)**: the published number lies outside that interval, widened by Holm's correction over the
  numbers of the row, and outside the range of our seeds; ours is higher or lower.
- {ALONE}: verdict on one number of a row that lies outside the interval and the range beside it, but not after that
  correction. In a row of many numbers this happens by chance, so the verdict on the row does not count it.
- **{OUTSIDE}**: like **{DIFFERS}**, but with fewer than 8 seeds, which may all have missed a rare second mode.
- **provisional**: fewer than 8 seeds. Below 3 there is no verdict.
- **{CONTEXT}**: shown beside ours without a verdict: a number of somebody else on the same data, or one of the source
  that follows from its other numbers."""


def report(results: Results) -> str:
    """Write the whole report."""
    parts = [
        "# Reproduction report",
        "Published autoencoder anomaly-detection experiments, rebuilt, run over many seeds, and held against the "
        "numbers that their authors printed.",
        "## At a glance",
        held_out.page_one(results),
        "How to read it:",
        held_out.HOW_TO_READ,
        "## Verdicts",
        verdict_table(results),
        *[f"{name}: {_summary(entry)}" for name, entry in results.experiments.items()],
        "How to read a verdict:",
        HOW_TO_READ,
    ]
    for name, entry in results.experiments.items():
        parts += experiment(name, entry)
    parts += held_out.appendix(results)
    return "\n\n".join(parts) + "\n"


def verdict_table(results: Results) -> str:
    """Make the table of the verdicts on all printed rows and curves, with the number that each depends on."""
    rows = []
    for name, entry in results.experiments.items():
        for group in entry.comparison.groups:
            if group.obtained == "context":
                continue
            rows.append([f"`{name}`", group.title, *headline(group), _verdict(group)])
    counts = {entry.comparison.n_seeds for entry in results.experiments.values()}
    ours = f"ours, {counts.pop()} seeds" if len(counts) == 1 else "ours"
    headings = ["experiment", "printed row or curve", "number", "published", ours, "verdict"]
    return table(headings, rows)


def experiment(name: str, entry: ExperimentResults) -> list[str]:
    """Write the section of one experiment: its heading, then its parts."""
    description, comparison = entry.description, entry.comparison
    parts = [
        f"## {name}: {description.title}",
        paragraph("Source", description.source),
        paragraph("Claim", description.claim),
        paragraph("Method", description.method),
        f"**Run it.** `python -m experiments run {name} --seeds {ranges([*entry.seeds]) or '0-2'}`",
    ]
    if not entry.seeds:
        return [*parts, "\n".join(["No finished run.", *_holes(entry)])]
    if entry.stand_in:
        parts.append(f"**Not the real data.** These runs used {escaped(entry.stand_in)}; nothing is compared.")
    parts += [
        "### Published against ours" if not entry.stand_in else "### Ours",
        *shown(entry.overview),
        *[_group(group, entry.source.address) for group in comparison.groups],
        _added(entry),
    ]
    if comparison.claims:
        parts += ["### Claims", _claims(comparison.claims)]
    parts += [part for given in comparison.conditional for part in _two_modes(entry, given)]
    if entry.separation is not None:
        parts += _associations(entry.separation)
    parts += _explanations(entry)
    if entry.figures:
        parts += ["### Figures", _figure_seed(entry), *shown(entry.figures)]
    parts += held_out.sections(entry)
    parts += ["### What differs from the source", description.deviations]
    parts += ["### Runs", _runs(entry)]
    return [part for part in parts if part]


def _figure_seed(entry: ExperimentResults) -> str:
    met = [given.condition.text for given in entry.comparison.conditional if entry.figure_seed in given.seeds]
    why = f", the first that meets the condition of the source: {'; '.join(met)}" if met else ""
    return f"These figures show seed {entry.figure_seed}{why}."


# Numbers.


def _group(group: GroupResult, source: str) -> str:
    address = source if group.address is None else group.address
    rows = [
        [
            f"`{member.metric}`",
            f"[{member.printed}]({address})" if address else member.printed,
            number(member.mean, member.printed),
            number(member.standard_deviation, member.printed),
            spread_of(member, (member.minimum, member.maximum)),
            spread_of(member, member.interval),
            ALONE if outside_alone(member) else member.verdict,
        ]
        for member in group.members
    ]
    headings = ["number", "published", "mean", "sd", "range", "95 % interval", "verdict"]
    title = f"**{group.title}**: {_verdict(group)} ({group.obtained}, {group.n} of our runs). Where: {group.where}"
    return f"{title}\n\n{table(headings, rows)}"


def _verdict(group: GroupResult) -> str:
    text = group.verdict
    if group.provisional:
        text += ", provisional"
    if group.missing and text != NOT_RUN:
        text += f" ({group.missing} seeds missing)"
    return text if text in (CONTEXT, NOT_RUN, NO_VERDICT) else f"**{text}**"


def _summary(entry: ExperimentResults) -> str:
    if entry.stand_in:
        return f"not compared, since these runs used {escaped(entry.stand_in)}."
    return summary_sentence(entry.comparison) if entry.seeds else "no finished run."


def summary_sentence(comparison: Comparison) -> str:
    """Count the exact rows, the rows outside with the number that chance alone would put there, and the claims."""
    summary, claims = comparison.summary, comparison.claims
    kept = sum(claim.holds == claim.n > 0 for claim in claims)
    return (
        f"{summary.exact} of {summary.exact_groups} exact rows are exact. "
        f"{summary.outside} of {summary.one_run_groups} one-run rows and curves lie outside; chance alone would "
        f"put about {summary.expected_outside:.2f} there. {kept} of {len(claims)} claims hold in every seed."
    )


def _added(entry: ExperimentResults) -> str:
    """Make the table of metrics that the source does not give, with the reason."""
    rows = []
    for metric, reason in entry.not_published.items():
        values = entry.values(metric)
        numbers = [plain(fmean(values)), f"{plain(min(values))} to {plain(max(values))}"] if values else ["-", "-"]
        rows.append([f"`{metric}`", *numbers, str(len(values)), reason])
    ours = table(["number", "mean", "range", "seeds", "why the source has none"], rows)
    return f"Numbers of ours that the source does not give:\n\n{ours}" if rows else ""


def _claims(claims: Sequence[ClaimResult]) -> str:
    rows = []
    for claim in claims:
        interval = "-" if claim.interval is None else f"{claim.interval[0]:.2f} to {claim.interval[1]:.2f}"
        missing = f", {claim.missing} missing" if claim.missing else ""
        rows.append([claim.text, f"{claim.holds} of {claim.n} seeds{missing}", interval])
    return table(["claim", "holds in", "rate, 95 % Wilson interval"], rows)


# Two modes of training.


def _two_modes(entry: ExperimentResults, given: ConditionalResult) -> list[str]:
    """Write the rates of both modes, the verdicts over all seeds and over those of one mode, and every seed."""
    condition = given.condition
    if condition.interval is None:
        return []
    low, high = condition.interval
    other = condition.n - condition.holds
    rates = (
        f"{condition.text}, as the source shows, in {condition.holds} of {condition.n} seeds: "
        f"{condition.holds / condition.n:.0%}, 95 % Wilson interval {low:.0%} to {high:.0%}. The other mode occurs in "
        f"{other} of {condition.n}: {other / condition.n:.0%}, interval {1 - high:.0%} to {1 - low:.0%}."
    )
    if condition.missing:
        rates += f" {condition.missing} seeds are missing."
    over_all = {group.name: group for group in entry.comparison.groups}
    rows = []
    for group in given.groups:
        for label, judged in (("all", over_all[group.name]), ("those that meet it", group)):
            rows.append([group.title, label, str(judged.n), *headline(judged), _verdict(judged)])
    headings = ["printed row or curve", "seeds", "n", "number", "published", "ours", "verdict"]
    return ["### Two modes", rates, table(headings, rows), _every_seed(entry, given)]


def _every_seed(entry: ExperimentResults, given: ConditionalResult) -> str:
    free = {member.metric: member.printed for group in given.groups for member in group.members if member.free}
    rows = []
    for seed, metrics in entry.seeds.items():
        conditions = [plain(metrics.get(metric)) for metric in given.metrics]
        ours = [number(metrics.get(metric), printed) for metric, printed in free.items()]
        rows.append([str(seed), *conditions, "yes" if seed in given.seeds else "no", *ours])
    return table(["seed", *quoted(given.metrics), "meets it", *quoted(free)], rows)


def _associations(associations: Associations) -> list[str]:
    rows = [
        [f"`{row.metric}`", str(row.n), *map(plain, (row.correlation, row.lower, row.upper))]
        for row in associations.rows
    ]
    target = associations.target
    how = (
        f"Spearman's rank correlation of each metric with `{target}` over the seeds in which both are defined, and the "
        "metric's median over the lower and the upper half of these seeds by that number."
    )
    headings = ["metric", "seeds", "rank correlation", "median, lower half", "median, upper half"]
    return [f"### What goes with `{target}`", how, table(headings, rows)]


# Explanations of differences.


def _explanations(entry: ExperimentResults) -> list[str]:
    groups = [
        group for group in entry.comparison.groups if group.verdict == WITHIN_SPREAD or lies_outside(group.verdict)
    ]
    if not groups:
        return []
    parts = ["### What explains the rest", _about_ablations(entry)]
    for group in groups:
        ablated = [(variant, found) for variant in entry.variants if (found := _same_group(variant, group)) is not None]
        parts += [
            _difference(group),
            _ablation_table(group, ablated),
            _verdict_sentence(group, ablated),
            _spread_sentence(group, ablated),
            _beside(entry, group),
        ]
    return parts


def _same_group(variant: Ablation, group: GroupResult) -> GroupResult | None:
    """Find the verdict of an ablation on the same printed row; `None` if it does not compute the row."""
    found = (candidate for candidate in variant.comparison.groups if candidate.name == group.name)
    return next((candidate for candidate in found if candidate.verdict != NOT_RUN), None)


def _about_ablations(entry: ExperimentResults) -> str:
    origins = sorted({variant.origin for variant in entry.variants})
    if not origins:
        return ""
    return (
        f"Each line below repeats the runs with one thing changed (`--ablate`; results from {' and '.join(origins)}). "
        "The verdict is that on the whole printed row under that change, over the seeds of that line."
    )


def _difference(group: GroupResult) -> str:
    member = deciding(group)
    seeds = f"our {member.n} seeds range from {spread_of(member, (member.minimum, member.maximum))}"
    if group.verdict == WITHIN_SPREAD:
        return (
            f"**{group.title}**: {group.verdict}. The widest interval is that of `{member.metric}`: "
            f"half-width {number(half_width(member), member.printed)} against a tolerance of "
            f"{number(member.tolerance, member.printed)}; {seeds}, published is {shortened(member.printed)}."
        )
    p_value = "p < 0.000001" if member.p_value is None or member.p_value < 1e-6 else f"p = {member.p_value:.2g}"
    return (
        f"**{group.title}**: {group.verdict}. `{member.metric}`: published {shortened(member.printed)}, {seeds} "
        f"({p_value} after Holm's correction)."
    )


Ablated = Sequence[tuple[Ablation, GroupResult]]


def _ablation_table(group: GroupResult, ablated: Ablated) -> str:
    metric = deciding(group).metric
    rows = []
    for label, candidate in [("as published", group), *((variant.label, found) for variant, found in ablated)]:
        member = _member(candidate, metric)
        if member.n:
            rows.append(
                [
                    label,
                    str(member.n),
                    number(member.mean, member.printed),
                    number(member.standard_deviation, member.printed),
                    spread_of(member, (member.minimum, member.maximum)),
                    spread_of(member, member.interval),
                    candidate.verdict,
                ]
            )
    return table([f"`{metric}`", "seeds", "mean", "sd", "range", "95 % interval", "verdict of the row"], rows)


def _member(group: GroupResult, metric: str) -> MemberResult:
    return next(member for member in group.members if member.metric == metric)


def _verdict_sentence(group: GroupResult, ablated: Ablated) -> str:
    """List the ablations under which the verdict stays the same, and those under which it changes."""
    unchanged, changed = [], []
    for variant, candidate in ablated:
        before, after = variant.same_seeds.get(group.name), candidate.verdict
        if before is None or {before, after} & {NOT_RUN, NO_VERDICT}:
            continue
        if before == after:
            unchanged.append(f"{variant.label} ({before})")
        else:
            changed.append(f"{variant.label} ({before} to {after})")
    sentences = []
    if unchanged:
        sentences.append(f"Over the same seeds the verdict stays the same under: {'; '.join(unchanged)}.")
    if changed:
        sentences.append(f"Over the same seeds it changes under: {'; '.join(changed)}.")
    return " ".join(sentences)


def _spread_sentence(group: GroupResult, ablated: Ablated) -> str:
    """Compare the standard deviation under each ablation with that as published, if the spread decides the verdict."""
    published = deciding(group)
    if group.verdict != WITHIN_SPREAD or not published.standard_deviation:
        return ""
    parts = []
    for variant, candidate in ablated:
        member = _member(candidate, published.metric)
        if member.standard_deviation is not None:
            parts.append(f"{member.standard_deviation / published.standard_deviation:.0%} under: {variant.label}")
    return f"The standard deviation is, of that as published, {'; '.join(parts)}." if parts else ""


def _beside(entry: ExperimentResults, group: GroupResult) -> str:
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


# Runs.


def _runs(entry: ExperimentResults) -> str:
    lines = [f"Seeds {ranges([*entry.seeds])}; median {median(entry.seconds.values()):.0f} s a run.", *_holes(entry)]
    for environment in entry.environments:
        lines.append(f"{escaped(_described(environment))} (seeds {ranges(environment.seeds)}).")
    if len(entry.environments) > 1:
        lines.append("These runs were made in different environments: rounding may differ between their seeds.")
    if entry.others:
        lines.append(
            f"Left out: {sum(entry.others.values())} runs with other settings, on other data or of older code."
        )
    return "\n".join(f"- {line}" for line in lines)


def _described(environment: Environment) -> str:
    threads = "unknown" if environment.threads is None else environment.threads
    versions = [f"{name} {version}" for name, version in environment.versions.items()]
    return (
        f"Made on {environment.processor}, {environment.system}, {threads} thread a run, oneDNN "
        f"{'on' if environment.onednn else 'off'}, Python {environment.python}, {', '.join(versions)}; commit "
        f"{', '.join(environment.commits)}"
    )


def _holes(entry: ExperimentResults) -> list[str]:
    """List the failed seeds and the damaged records."""
    failed = [f"Seed {seed} failed: {escaped(error)}." for seed, error in entry.failed.items()]
    return failed + [f"Damaged, left out: {escaped(problem)}." for problem in entry.damaged]
