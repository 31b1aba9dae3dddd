"""The report as Markdown: a pure function of results.json, so that it never says anything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, median, stdev
from typing import Any

from common.comparison.verdicts import (
    CONTEXT,
    DIFFERS,
    EXACT,
    NO_VERDICT,
    NOT_RUN,
    OUTSIDE,
    REPRODUCED,
    WITHIN_SPREAD,
    lies_outside,
)
from common.report import held_out as markdown_held_out
from common.report.conclusions import deciding, half_width, headline, outside_alone, shortened, spread_of
from common.report.markup import number, outside, paragraph, pictures, plain, quoted, ranges, table

# Of a number within a row.
ALONE = "outside by itself"

HOW_TO_READ = f"""\
- **{EXACT}**: follows from data and a deterministic method; our value, formatted as its source formats it, is the
  printed text.
- **{REPRODUCED}**: one unseeded run of the source does not lie outside of what ours lead one to expect, and the
  half-width of our 95 % prediction interval for one further run is within a tolerance fixed beforehand.
- **{WITHIN_SPREAD}**: not outside either, but our own runs differ so much that this says little.
- **{DIFFERS} (higher | lower)**: outside that interval, widened by Holm's correction over the numbers of the row, and
  outside the range of our seeds; ours is higher or lower than the published number.
- {ALONE}: of one number in a row, outside the interval and the range beside it, but not after that correction. With
  many numbers in a row one or another lies there by chance; the verdict of the row does not count it.
- **{OUTSIDE}**: the same, but over fewer than 8 seeds, too few to rule out that they all missed a rare second mode.
- **provisional**: fewer than 8 seeds. Below 3 there is no verdict.
- **{CONTEXT}**: shown beside ours without a verdict: somebody else's number on the same data, or one of the source's
  own that follows from others."""


def report(results: Mapping[str, Any]) -> str:
    """The whole report."""
    parts = [
        "# Reproduction report",
        "Published autoencoder anomaly-detection experiments, rebuilt, run over many seeds, and held against the "
        "numbers that their authors printed.",
        "## At a glance",
        markdown_held_out.page_one(results),
        "How to read it:",
        markdown_held_out.HOW_TO_READ,
        "## Verdicts",
        verdict_table(results),
        *[f"{name}: {_summary(entry)}" for name, entry in results["experiments"].items()],
        "How to read a verdict:",
        HOW_TO_READ,
    ]
    for name, entry in results["experiments"].items():
        parts += experiment(name, entry)
    parts += markdown_held_out.appendix(results)
    return "\n\n".join(parts) + "\n"


def verdict_table(results: Mapping[str, Any]) -> str:
    """One row for every printed row or curve, with the number that its verdict hangs on."""
    rows = []
    for name, entry in results["experiments"].items():
        for group in entry["comparison"]["groups"]:
            if group["obtained"] == "context":
                continue
            rows.append([f"`{name}`", group["title"], *headline(group), _verdict(group)])
    counts = {entry["comparison"]["n_seeds"] for entry in results["experiments"].values()}
    ours = f"ours, {counts.pop()} seeds" if len(counts) == 1 else "ours"
    headings = ["experiment", "printed row or curve", "number", "published", ours, "verdict"]
    return table(headings, rows)


def experiment(name: str, entry: Mapping[str, Any]) -> list[str]:
    """The section of one experiment: its heading, then its parts."""
    description, comparison = entry["description"], entry["comparison"]
    seeds = [int(seed) for seed in entry["seeds"]]
    parts = [
        f"## {name}: {description['title']}",
        paragraph("Source", description["source"]),
        paragraph("Claim", description["claim"]),
        paragraph("Method", description["method"]),
        f"**Run it.** `python -m experiments run {name} --seeds {ranges(seeds) or '0-2'}`",
    ]
    if not seeds:
        return [*parts, "\n".join(["No finished run.", *_holes(entry)])]
    if entry["stand_in"]:
        parts.append(f"**Not the real data.** These runs saw {outside(entry['stand_in'])}; nothing here is compared.")
    parts += [
        "### Published against ours" if not entry["stand_in"] else "### Ours",
        *pictures(entry["overview"]),
        *[_group(group, entry["source"]["address"]) for group in comparison["groups"]],
    ]
    parts.append(_added(entry))
    if comparison["claims"]:
        parts += ["### Claims", _claims(comparison["claims"])]
    parts += [part for given in comparison["conditional"] for part in _two_modes(entry, given)]
    parts += _separation(entry["separation"])
    parts += _explanations(entry)
    if entry["figures"]:
        parts += ["### Figures", _drawn_from(entry), *pictures(entry["figures"])]
    parts += markdown_held_out.sections(entry)
    parts += ["### What differs from the source", description["deviations"]]
    parts += ["### Runs", _runs(entry)]
    return [part for part in parts if part]


def _drawn_from(entry: Mapping[str, Any]) -> str:
    seed, conditional = entry["figure_seed"], entry["comparison"]["conditional"]
    shown = [given["condition"]["text"] for given in conditional if seed in given["seeds"]]
    why = f", the first in which holds what the source shows: {'; '.join(shown)}" if shown else ""
    return f"Drawn from seed {seed}{why}."


# Numbers.


def _group(group: Mapping[str, Any], source: str) -> str:
    address = source if group["address"] is None else group["address"]
    rows = [
        [
            f"`{member['metric']}`",
            f"[{member['printed']}]({address})" if address else member["printed"],
            number(member["mean"], member["printed"]),
            number(member["standard_deviation"], member["printed"]),
            spread_of(member, (member["minimum"], member["maximum"])),
            spread_of(member, member["interval"]),
            ALONE if outside_alone(member) else member["verdict"],
        ]
        for member in group["members"]
    ]
    headings = ["number", "published", "mean", "sd", "range", "95 % interval", "verdict"]
    title = (
        f"**{group['title']}**: {_verdict(group)} ({group['obtained']}, {group['n']} of our runs). "
        f"Where: {group['where']}"
    )
    return f"{title}\n\n{table(headings, rows)}"


def _verdict(group: Mapping[str, Any]) -> str:
    text = group["verdict"]
    if group["provisional"]:
        text += ", provisional"
    if group["missing"] and text != NOT_RUN:
        text += f" ({group['missing']} seeds missing)"
    return text if text in (CONTEXT, NOT_RUN, NO_VERDICT) else f"**{text}**"


def _summary(entry: Mapping[str, Any]) -> str:
    if entry["stand_in"]:
        return f"not compared, for these runs saw {outside(entry['stand_in'])}."
    return summary_sentence(entry["comparison"]) if entry["seeds"] else "no finished run."


def summary_sentence(comparison: Mapping[str, Any]) -> str:
    """How many rows came out exactly, how many lie outside beside what chance alone would put there, and the claims."""
    summary, claims = comparison["summary"], comparison["claims"]
    kept = sum(claim["holds"] == claim["n"] > 0 for claim in claims)
    return (
        f"{summary['exact']} of {summary['exact_groups']} exact rows are exact. "
        f"{summary['outside']} of {summary['one_run_groups']} one-run rows and curves lie outside; chance alone would "
        f"put about {summary['expected_outside']:.2f} there. {kept} of {len(claims)} claims hold in every seed."
    )


def _added(entry: Mapping[str, Any]) -> str:
    """What we report and the source does not, with a word on why it does not."""
    rows = []
    for metric, reason in entry["not_published"].items():
        values = [value for metrics in entry["seeds"].values() if (value := metrics.get(metric)) is not None]
        numbers = [plain(fmean(values)), f"{plain(min(values))} to {plain(max(values))}"] if values else ["-", "-"]
        rows.append([f"`{metric}`", *numbers, str(len(values)), reason])
    ours = table(["number", "mean", "range", "seeds", "why the source has none"], rows)
    return f"Numbers of ours that the source does not give:\n\n{ours}" if rows else ""


def _claims(claims: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for claim in claims:
        interval = "-" if claim["interval"] is None else f"{claim['interval'][0]:.2f} to {claim['interval'][1]:.2f}"
        missing = f", {claim['missing']} missing" if claim["missing"] else ""
        rows.append([claim["text"], f"{claim['holds']} of {claim['n']} seeds{missing}", interval])
    return table(["claim", "holds in", "rate, 95 % Wilson interval"], rows)


# Seeds that fall into two modes.


def _two_modes(entry: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """The rate of a mode that the source shows, the verdicts within it beside those over all seeds, and every seed."""
    condition = given["condition"]
    if condition["interval"] is None:
        return []
    low, high = condition["interval"]
    other = condition["n"] - condition["holds"]
    rates = (
        f"{condition['text']}, as the source shows, in {condition['holds']} of {condition['n']} seeds: "
        f"{condition['holds'] / condition['n']:.0%}, 95 % Wilson interval {low:.0%} to {high:.0%}. In the other mode "
        f"are {other} of {condition['n']}: {other / condition['n']:.0%}, interval {1 - high:.0%} to {1 - low:.0%}."
    )
    if condition["missing"]:
        rates += f" {condition['missing']} seeds are missing."
    over_all = {group["name"]: group for group in entry["comparison"]["groups"]}
    rows = []
    for group in given["groups"]:
        for label, judged in (("all", over_all[group["name"]]), ("those that meet it", group)):
            rows.append([group["title"], label, str(judged["n"]), *headline(judged), _verdict(judged)])
    headings = ["printed row or curve", "seeds", "n", "number", "published", "ours", "verdict"]
    return ["### Two modes", rates, table(headings, rows), _every_seed(entry, given)]


def _every_seed(entry: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    free = {member["metric"]: member["printed"] for g in given["groups"] for member in g["members"] if member["free"]}
    rows = []
    for seed, metrics in entry["seeds"].items():
        told = [plain(metrics.get(metric)) for metric in given["metrics"]]
        ours = [number(metrics.get(metric), printed) for metric, printed in free.items()]
        rows.append([seed, *told, "yes" if int(seed) in given["seeds"] else "no", *ours])
    return table(["seed", *quoted(given["metrics"]), "meets it", *quoted(free)], rows)


def _separation(separation: Mapping[str, Any] | None) -> list[str]:
    """What goes with a metric over the seeds."""
    if separation is None:
        return []
    rows = [
        [f"`{row['metric']}`", str(row["n"]), *(plain(row[name]) for name in ("correlation", "lower", "upper"))]
        for row in separation["rows"]
    ]
    target = separation["target"]
    how = (
        f"Spearman's rank correlation of each metric with `{target}` over the seeds in which both are defined, and the "
        "metric's median over the lower and the upper half of them by that number."
    )
    headings = ["metric", "seeds", "rank correlation", "median, lower half", "median, upper half"]
    return [f"### What goes with `{target}`", how, table(headings, rows)]


# What explains a difference.


def _explanations(entry: Mapping[str, Any]) -> list[str]:
    groups = [
        group
        for group in entry["comparison"]["groups"]
        if group["verdict"] == WITHIN_SPREAD or lies_outside(group["verdict"])
    ]
    if not groups:
        return []
    parts = ["### What explains the rest", _variant_commands(entry)]
    for group in groups:
        parts += [_what_is_off(group), _variant_table(entry, group), _variant_sentence(entry, group)]
        parts += [_spread_sentence(entry, group)]
        parts += [_beside(entry, group)]
    return parts


def _beside(entry: Mapping[str, Any], group: Mapping[str, Any]) -> str:
    """The spread of other metrics over the same seeds, which tells where that of the printed number comes from."""
    metrics = entry["beside"].get(group["name"], [])
    if not metrics:
        return ""
    rows = []
    for metric in [deciding(group)["metric"], *metrics]:
        values = [value for found in entry["seeds"].values() if (value := found.get(metric)) is not None]
        if len(values) > 1:
            mean, spread = fmean(values), stdev(values)
            relative = f"{abs(spread / mean):.0%}" if mean else "-"
            rows.append([f"`{metric}`", str(len(values)), plain(mean), plain(spread), relative])
    heading = "Over the same seeds, beside numbers of the same runs that share some of its causes:"
    return f"{heading}\n\n{table(['number', 'seeds', 'mean', 'sd', 'sd / mean'], rows)}"


def _variant_commands(entry: Mapping[str, Any]) -> str:
    origins = sorted({variant["origin"] for variant in entry["variants"]})
    if not origins:
        return ""
    return (
        "Each line below repeats the runs with one thing changed (`--ablate`; results from "
        f"{' and '.join(origins)}). The verdict is that of the whole printed row under that change, over the "
        "seeds of that line."
    )


def _what_is_off(group: Mapping[str, Any]) -> str:
    member = deciding(group)
    seeds = f"our {member['n']} seeds range from {spread_of(member, (member['minimum'], member['maximum']))}"
    if group["verdict"] == WITHIN_SPREAD:
        return (
            f"**{group['title']}**: {group['verdict']}. The widest interval is that of `{member['metric']}`: "
            f"half-width {number(half_width(member), member['printed'])} against a tolerance of "
            f"{number(member['tolerance'], member['printed'])}; {seeds}, published is {shortened(member['printed'])}."
        )
    return (
        f"**{group['title']}**: {group['verdict']}. `{member['metric']}`: published {shortened(member['printed'])}, "
        f"{seeds} ({_p_value(member['p_value'])} after Holm's correction)."
    )


def _p_value(p: float) -> str:
    return f"p = {p:.2g}" if p >= 1e-6 else "p < 0.000001"


def _variant_table(entry: Mapping[str, Any], group: Mapping[str, Any]) -> str:
    metric = deciding(group)["metric"]
    rows = []
    for label, candidate in [("as published", group), *_same_group(entry, group)]:
        member = next(member for member in candidate["members"] if member["metric"] == metric)
        if member["n"] == 0:
            continue
        rows.append(
            [
                label,
                str(member["n"]),
                number(member["mean"], member["printed"]),
                number(member["standard_deviation"], member["printed"]),
                spread_of(member, (member["minimum"], member["maximum"])),
                spread_of(member, member["interval"]),
                candidate["verdict"],
            ]
        )
    return table([f"`{metric}`", "seeds", "mean", "sd", "range", "95 % interval", "verdict of the row"], rows)


def _variant_sentence(entry: Mapping[str, Any], group: Mapping[str, Any]) -> str:
    """Whether the verdict changes, compared over the same seeds, for it depends on how many there are."""
    labels: dict[bool, list[str]] = {True: [], False: []}
    for variant in entry["variants"]:
        for candidate in variant["comparison"]["groups"]:
            verdicts = (variant["same_seeds"].get(group["name"]), candidate["verdict"])
            if candidate["name"] == group["name"] and not set(verdicts) & {None, NOT_RUN, NO_VERDICT}:
                same = verdicts[0] == verdicts[1]
                told = verdicts[0] if same else f"{verdicts[0]} to {verdicts[1]}"
                labels[same].append(f"{variant['label']} ({told})")
    sentences = []
    if labels[True]:
        sentences.append(f"Over the same seeds the verdict stays the same under: {'; '.join(labels[True])}.")
    if labels[False]:
        sentences.append(f"Over the same seeds it changes under: {'; '.join(labels[False])}.")
    return " ".join(sentences)


def _spread_sentence(entry: Mapping[str, Any], group: Mapping[str, Any]) -> str:
    """What each change does to the spread, where the spread is what keeps a verdict from saying more."""
    member_as_published = deciding(group)
    if group["verdict"] != WITHIN_SPREAD or not member_as_published["standard_deviation"]:
        return ""
    parts = []
    for label, candidate in _same_group(entry, group):
        member = next(member for member in candidate["members"] if member["metric"] == member_as_published["metric"])
        if member["standard_deviation"] is not None:
            parts.append(
                f"{member['standard_deviation'] / member_as_published['standard_deviation']:.0%} under: {label}"
            )
    return f"The standard deviation is, of that as published, {'; '.join(parts)}." if parts else ""


def _same_group(entry: Mapping[str, Any], group: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The verdict on the same printed row in every variant that computes it."""
    found = []
    for variant in entry["variants"]:
        for candidate in variant["comparison"]["groups"]:
            if candidate["name"] == group["name"] and candidate["verdict"] != NOT_RUN:
                found.append((variant["label"], candidate))
    return found


# Runs.


def _runs(entry: Mapping[str, Any]) -> str:
    seconds = sorted(entry["seconds"].values())
    lines = [f"Seeds {ranges([int(seed) for seed in entry['seeds']])}; median {median(seconds):.0f} s a run."]
    lines += _holes(entry)
    for environment in entry["environments"]:
        lines.append(f"{outside(_circumstances(environment))} (seeds {ranges(environment['seeds'])}).")
    if len(entry["environments"]) > 1:
        lines.append("These runs were made in different environments: rounding may differ between their seeds.")
    if entry["others"]:
        count = sum(entry["others"].values())
        lines.append(
            f"Left out: {count} runs with settings that nothing here tells of, on other data or of older code."
        )
    return "\n".join(f"- {line}" for line in lines)


def _circumstances(environment: Mapping[str, Any]) -> str:
    told = {name: environment.get(name, "unknown") for name in ("processor", "system", "threads", "python")}
    versions = environment.get("versions")
    named = [f"{name} {version}" for name, version in versions.items()] if isinstance(versions, Mapping) else []
    return (
        f"Made on {told['processor']}, {told['system']}, {told['threads']} thread a run, oneDNN "
        f"{'on' if environment.get('onednn') else 'off'}, Python {told['python']}, {', '.join(named)}; commit "
        f"{', '.join(environment['commits'])}"
    )


def _holes(entry: Mapping[str, Any]) -> list[str]:
    """What should have been in this report and is not."""
    failed = [f"Seed {seed} failed: {outside(error)}." for seed, error in entry["failed"].items()]
    return failed + [f"Damaged, left out: {outside(problem)}." for problem in entry["damaged"]]
