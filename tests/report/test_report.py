import json
import re
from dataclasses import replace

import pytest
import scipy.stats

from common import figures
from common.cli import report as command
from common.cli.commands import COMMANDS
from common.cli.options import parse
from common.comparison.published import read_published
from common.comparison.verdicts import ClaimResult, Comparison, ConditionalResult, GroupResult, MemberResult
from common.detectors.classical import CLASSICAL
from common.detectors.registry import DETECTORS
from common.errors import SuiteError
from common.experiment import PROTOCOLS, load_experiment
from common.files import ROOT
from common.page import write
from common.report import conclusions, held_out, markdown
from common.report import figures as report_figures
from common.report import markup as wording
from common.report.collect import _relative_to, collect, recipe
from common.report.results import (
    MAIN,
    PARTS,
    SWEEP,
    Ablation,
    Description,
    ExperimentResults,
    Results,
    as_json,
    describe,
    judged,
    read_results,
)
from common.runs import environment, records
from common.runs.tasks import Task
from experiments import EXPERIMENTS, curves_dense_ae, fashion_latent_ocsvm
from experiments.__main__ import main
from tests.helpers.made_up import made_up
from tests.helpers.tiny import TINY

REFERENCE = ROOT / "reports" / "reference"


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The committed reference as if it had been made from the recipes of today."""
    committed, entries = read_results(REFERENCE), {}
    for name, entry in committed.experiments.items():
        experiment = load_experiment(EXPERIMENTS[name])
        entries[name] = replace(
            entry, revision=experiment.revision, made_from=recipe(experiment, entry.data), outdated=False
        )
    folder = tmp_path_factory.mktemp("reference")
    (folder / "results.json").write_bytes(as_json(replace(committed, experiments=entries)))
    return folder


@pytest.fixture(scope="module")
def out(tiny_out, reference, tmp_path_factory):
    """Tiny runs under the name of the published settings, so that a report takes them up."""
    folder = tmp_path_factory.mktemp("report")
    default = curves_dense_ae.Config()
    for seed in range(3):
        source = Task(curves_dense_ae.EXPERIMENT, TINY, "published", seed, tiny_out)
        target = Task(curves_dense_ae.EXPERIMENT, default, "published", seed, folder)
        record = records.read_record(source.folder)
        arrays = records.read_arrays(source.folder, record)
        record = replace(record, config=default.to_dict(), digest=target.digest, arrays_sha256=None)
        records.write_run(target.folder, record, arrays)
        longer = Task(
            curves_dense_ae.EXPERIMENT, replace(default, epochs=200, baselines=False), "published", seed, folder
        )
        record = replace(record, config=longer.config.to_dict(), digest=longer.digest)
        records.write_run(longer.folder, record, arrays)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "REFERENCE", reference)
        assert main(["report", "--no-run", "--quiet", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def page(out):
    return (out / "latest" / "README.md").read_text()


def test_the_report_is_a_function_of_its_results(out, page, reference, monkeypatch):
    results = read_results(out / "latest")
    assert markdown.report(results) == page
    monkeypatch.setattr(command, "REFERENCE", reference)
    assert main(["report", "--no-run", "--quiet", "--out", str(out)]) == 0
    assert (out / "latest" / "README.md").read_text() == page


def test_the_report_tells_verdicts_first_then_the_experiment(page):
    assert page.index("# Reproduction report") < page.index("## Verdicts") < page.index("## curves_dense_ae")
    page = page[page.index("## curves_dense_ae") :]
    order = ["## curves_dense_ae", "**Claim.**", "**Method.**"]
    order += ["### Published against ours", "### Claims", "### What was tried", "### Figures"]
    order += ["### What differs from the source", "1. Keras 3", "### Runs"]
    place = 0
    for text in order:
        place = page.index(text, place)
    assert "python -m experiments run curves_dense_ae --seeds 0-2" in page
    assert not re.search(r"\bnan\b|\bNone\b|undefined", page)


def test_every_picture_of_the_report_exists_and_has_words(out, page):
    pictures = re.findall(r"!\[(.*)\]\((.*)\)", page)
    assert len(pictures) == 7
    for words, file in pictures:
        assert words
        assert (out / "latest" / file).stat().st_size < 100_000


def test_every_published_number_stands_in_the_report(page):
    for group in read_published("curves_dense_ae").groups:
        for metric, printed in group.numbers.items():
            assert re.search(rf"`{re.escape(metric)}` \| \[{re.escape(printed)}\]\(https://\S+\) \|", page), metric


def test_differences_are_explained_by_ablations_of_the_same_row(page):
    explained = page[page.index("### What was tried") : page.index("### Figures")]
    assert "trained twice as long" in explained
    assert "| as published | 3 |" in explained


def test_ablations_that_were_not_run_here_come_from_the_reference(out, tmp_path):
    known = read_results(out / "latest")
    reference = tmp_path / "reference"
    reference.mkdir()
    (reference / "results.json").write_bytes(as_json(known))
    empty = collect([curves_dense_ae.EXPERIMENT], tmp_path / "nothing", reference).results
    variants = empty.experiments["curves_dense_ae"].variants
    assert {variant.label for variant in variants} == set(curves_dense_ae.EXPERIMENT.ablations)
    assert {variant.origin for variant in variants} == {"the reference"}


def test_an_ablation_that_the_module_no_longer_has_is_not_taken_from_the_reference(out, tmp_path):
    fewer = replace(curves_dense_ae.EXPERIMENT, ablations={"no weight decay": {"weight_decay": 0.0}})
    known = collect([fewer], tmp_path / "nothing", out / "latest").results
    assert [variant.label for variant in known.experiments["curves_dense_ae"].variants] == ["no weight decay"]


def test_the_report_command_takes_them_from_the_reference(page):
    assert "results from here and the reference" in page
    assert "trained in PyTorch, the source's framework" in page


# Seeds that fall into two modes.


@pytest.fixture(scope="module")
def two_modes(tmp_path_factory):
    """Made-up runs of the latent code: in one of five, a unit is dead and the code a line."""
    out = tmp_path_factory.mktemp("modes")
    for seed, (dead, auroc) in enumerate([(0, 0.70), (0, 0.72), (1, 0.25), (0, 0.74), (0, 0.76)]):
        task = Task(fashion_latent_ocsvm.EXPERIMENT, fashion_latent_ocsvm.Config(), "published", seed, out)
        metrics = {"latent.axis_ratio": 0.5 * (1 - dead), "latent.dead_units": dead, "ocsvm_latent.auroc": auroc}
        metrics["latent.correlation"] = None if dead else 0.9
        undefined = {"latent.correlation": "a unit is dead"} if dead else {}
        record = records.Record(
            task.name, "published", task.digest, seed, "ok", task.config.to_dict(), task.revision,
            metrics=metrics, undefined=undefined, durations={"total": 1.0}, environment=environment.describe(),
        )  # fmt: skip
        records.write_run(task.folder, record)
    assert main(["report", "--no-run", "--quiet", "--out", str(out)]) == 0
    return out


def test_two_modes_are_told_with_their_rates_every_seed_and_both_readings(two_modes):
    page = (two_modes / "latest" / "README.md").read_text()
    section = page[page.index("### Two modes") : page.index("### What goes with")]
    assert "in 4 of 5 seeds: 80%" in section and "occurs in 1 of 5: 20%" in section
    assert "| 2 | 0 | no | - | 0.250 |" in section
    assert "| 4 | 0.5 | yes | - | 0.760 |" in section
    assert "- `ocsvm_latent.auroc`: 0.700 to 0.760 and 0.250 to 0.250, which do not overlap." in section
    rows = [line for line in section.splitlines() if line.startswith("| AUROC of OneClassSVM() on the code")]
    assert [row.split(" | ")[1:3] for row in rows] == [["all", "5"], ["those that meet it", "4"]]
    assert "0.730 (0.700 to 0.760)" in rows[1]


def test_what_goes_with_a_metric_is_a_table_of_rank_correlations(two_modes):
    page = (two_modes / "latest" / "README.md").read_text()
    section = page[page.index("### What goes with `ocsvm_latent.auroc`") :]
    assert "| `latent.dead_units` | 5 | -0.7071 | 0 | 0 |" in section
    assert "| `latent.correlation` | 4 | - | 0.9 | 0.9 |" in section
    assert "### Two modes" not in page[page.index("## curves_dense_ae") :]


def test_compare_has_a_line_for_every_condition(two_modes, capsys):
    assert main(["compare", "fashion_latent_ocsvm", "--out", str(two_modes)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "The code spreads along both of its axes: 4 of 5 seeds (0.38..0.96). Over these alone: " in text
    assert "AUROC of OneClassSVM() on the code (run of July 2021): reproduced, provisional" in text


def test_context_is_shown_as_it_is_and_never_counted_as_agreeing():
    shown = made_up(MemberResult, metric="m.auroc", printed="0.694", mean=0.7, minimum=0.65, maximum=0.75, n=3)
    group = made_up(GroupResult, obtained="context", members=(shown,), n=3, verdict="context")
    assert conclusions.headline(group) == ["`m.auroc`", "0.694", "0.7000 (0.6500 to 0.7500)"]
    assert conclusions.headline(replace(group, members=(shown, shown))) == ["2 numbers", "", ""]
    assert conclusions.headline(replace(group, members=(replace(shown, n=0),)))[2] == "-"


def test_a_report_of_nothing_says_so(tmp_path):
    assert main(["report", "--no-run", "--quiet", "--out", str(tmp_path)]) == 0
    page = (tmp_path / "latest" / "README.md").read_text()
    assert "No finished run." in page
    assert "not run" in page[page.index("## Verdicts") :]


def test_failed_and_damaged_runs_are_shown(out, tmp_path):
    import shutil

    shutil.copytree(out / "runs", tmp_path / "runs")
    task = Task(curves_dense_ae.EXPERIMENT, curves_dense_ae.Config(), "published", 1, tmp_path)
    records.write_run(task.folder, replace(records.read_record(task.folder), status="failed", error="ValueError: no"))
    task = replace(task, seed=2)
    (task.folder / "record.json").write_text("{")
    assert main(["report", "--no-run", "--quiet", "--out", str(tmp_path)]) == 0
    page = (tmp_path / "latest" / "README.md").read_text()
    assert "Seed 1 failed: ValueError: no." in page
    assert "Damaged, left out: " in page
    assert "(1 seeds missing)" in page


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_tells_source_claim_method_and_deviations(name):
    description = describe(load_experiment(EXPERIMENTS[name]).docstring)
    assert all(vars(description).values())
    numbers = re.findall(r"^(\d+)\. ", description.deviations, flags=re.MULTILINE)
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]


def test_sections_of_a_docstring():
    text = "Title.\n\nSource: a\n    b\n\nClaim: c.\n\nDeviations:\n    1. d\n       e\n    2. f\n"
    assert describe(text) == Description(title="Title", source="a\nb", claim="c.", deviations="1. d\n   e\n2. f")


def test_seed_ranges_are_written_as_the_command_line_takes_them():
    assert wording.ranges([0, 1, 2, 5, 7, 8]) == "0-2 5 7-8"
    assert wording.ranges([]) == ""


# The committed reference.


def test_the_tables_of_the_readme_are_those_of_the_reference():
    readme = (ROOT / "README.md").read_text()
    assert write.readme_with_tables(readme, read_results(REFERENCE)) == readme, "run make reference"


def test_the_reference_report_is_that_of_its_results():
    assert (REFERENCE / "README.md").read_text() == markdown.report(read_results(REFERENCE))


def test_the_reference_was_made_by_this_code_over_twenty_seeds_or_says_that_it_was_not():
    committed = read_results(REFERENCE)
    for name, entry in committed.experiments.items():
        experiment = load_experiment(EXPERIMENTS[name])
        assert entry.outdated == (entry.revision != experiment.revision)
        if entry.outdated:
            assert f"`{name}` (of an older revision)" in held_out.page_one(committed)
            assert "**Of an older revision.**" in markdown.experiment(name, entry, {})
            continue
        assert entry.config == experiment.config().to_dict()
        for runs in entry.by_protocol.values():
            assert len(runs.seeds) == 20 and not runs.failed and not runs.stand_in
        for protocol in PROTOCOLS:
            board = entry.standings[protocol]
            assert not board.missing
            detectors = {row.method for row in board.rows if not row.ours}
            assert detectors == {detector.title for detector in CLASSICAL.values()}
        assert {variant.label for variant in entry.variants} == set(experiment.ablations)


def test_the_committed_results_are_read_and_written_without_loss():
    text = (REFERENCE / "results.json").read_text()
    assert json.loads(as_json(read_results(REFERENCE))) == json.loads(text)


def test_a_readme_without_markers_is_refused():
    with pytest.raises(SuiteError, match="once each"):
        write.readme_with_tables("# no markers", made_up(Results))


# Small parts of the page.


def test_beside_a_row_stands_the_spread_of_what_shares_its_causes():
    few = made_up(MemberResult, metric="few", free=True, verdict="reproduced")
    group = made_up(GroupResult, name="g", verdict="reproduced", members=(few,))
    seeds = {seed: {"few": value, "many": 10.0} for seed, value in enumerate([1.0, 2.0, 3.0])}
    entry = made_up(ExperimentResults, beside={"g": ("many", "absent")}, seeds=seeds)
    table = markdown._beside(entry, group)
    assert "| `few` | 3 | 2 | 1 | 50% |" in table
    assert "| `many` | 3 | 10 | 0 | 0% |" in table
    assert "absent" not in table
    assert markdown._beside(replace(entry, beside={}), group) == ""


def test_whole_numbers_are_printed_whole():
    assert wording.number(18398.0, "18398") == "18398"
    assert wording.number(18398.5, "18398") == "18398.5"
    assert wording.number(0.5049, "0.50") == "0.505"


def ablation(label, values):
    return made_up(Ablation, label=label, seeds={seed: {"m": value} for seed, value in values.items()})


def test_an_effect_is_the_paired_difference_with_students_interval():
    published, changed = [1.0, 2.0, 4.0, 3.0], [1.5, 2.4, 4.7, 3.6]
    entry = made_up(ExperimentResults, seeds={seed: {"m": value} for seed, value in enumerate(published)})
    found = conclusions.effect_of(entry, ablation("a", dict(enumerate(changed)) | {9: 100.0}), "m")
    expected = scipy.stats.ttest_rel(changed, published).confidence_interval(0.95)
    assert found == pytest.approx((0.55, expected.low, expected.high))
    assert conclusions.effect_of(entry, ablation("a", {0: 1.5, 1: 2.4, 9: 1.0}), "m") is None


def test_an_explanation_is_an_effect_whose_interval_excludes_zero():
    entry = made_up(ExperimentResults, seeds={seed: {"m": float(seed)} for seed in range(4)})
    outside = replace(member("9.0", 0.0, 3.0, (-3.0, 6.0), "differs (lower)"), free=True, mean=1.5, n=4)
    group = made_up(GroupResult, name="g", verdict="differs (lower)", members=(outside,))
    changes = {"longer": 0.5, "shorter": -0.25, "other": 0.0}
    noise = (0.0, 0.01, -0.01, 0.0)
    ablated = [
        (ablation(label, {seed: seed + change + noise[seed] for seed in range(4)}), group)
        for label, change in changes.items()
    ]
    sentence = markdown._effect_sentence(entry, group, ablated)
    assert sentence.startswith("Effects on `m` whose interval excludes zero: longer, by +0.500 (")
    assert "in the direction of the published number; shorter, by -0.250 (" in sentence
    assert sentence.endswith("away from the published number.")
    too_far = [(ablation("huge", {seed: seed + 20.0 + noise[seed] for seed in range(4)}), group)]
    assert markdown._effect_sentence(entry, group, too_far).endswith("beyond the published number and farther from it.")
    of_another_network = [(ablation("unmeasured", {}), group)]
    assert markdown._effect_sentence(entry, group, of_another_network) == ""
    assert "No effect on `m` has an interval" in markdown._effect_sentence(entry, group, ablated[2:])
    assert markdown._effect_sentence(entry, group, []) == ""
    table = markdown._ablation_table(entry, group, ablated)
    assert "verdict" not in table and table.count("| +0.500 (") == 1


def test_a_part_that_is_taken_over_keeps_its_results_and_figures(tmp_path):
    name = "curves_dense_ae"
    experiment = load_experiment(EXPERIMENTS[name])
    report = collect([experiment], tmp_path, REFERENCE, taken_over={part: [name] for part in PARTS})
    committed = judged(read_results(REFERENCE)).experiments[name]
    assert report.results.experiments[name] == committed
    of_runs = [figure.file for runs in committed.by_protocol.values() for figure in runs.figures]
    of_runs += [figure.file for figure in committed.further.figures]
    assert of_runs and all(report.figures[file] == (REFERENCE / file).read_bytes() for file in of_runs)
    assert report.figures.keys() == {*of_runs, *(figure.file for figure in committed.overview)}


def taken_over(*arguments, part=MAIN):
    options = parse(["report", "--reference", *arguments], COMMANDS, EXPERIMENTS)
    return command._taken_over([load_experiment(module) for module in EXPERIMENTS.values()], options, part)


def test_pytorch_decides_only_where_a_run_uses_it(monkeypatch):
    known = environment.describe()
    versions = {**known["versions"], "torch": "1.2.3"}
    recipes = {}
    for torch in ("1.2.3", "1.2.4"):
        monkeypatch.setattr(environment, "describe", lambda torch=torch: {"versions": {**versions, "torch": torch}})
        recipes[torch] = {name: recipe(load_experiment(module), {}) for name, module in EXPERIMENTS.items()}
    changed = [name for name in EXPERIMENTS if recipes["1.2.3"][name] != recipes["1.2.4"][name]]
    assert changed == ["curves_dense_ae"]


def test_a_sweep_is_made_with_its_experiment_and_only_if_that_is_named(reference, monkeypatch):
    monkeypatch.setattr(command, "REFERENCE", reference)
    monkeypatch.setattr(Task, "data", property(lambda task: {}))
    others = [name for name in EXPERIMENTS if name != "mnist_conv_ae"]
    assert taken_over("--experiments", "mnist_conv_ae", part=SWEEP) == others
    assert taken_over("--experiments", "curves_dense_ae", part=SWEEP)[:1] == ["mnist_conv_ae"]


def test_the_reference_is_made_anew_where_something_has_changed(reference, monkeypatch, capsys):
    monkeypatch.setattr(command, "REFERENCE", reference)
    data = {name: entry.data for name, entry in read_results(reference).experiments.items()}
    monkeypatch.setattr(Task, "data", property(lambda task: data[task.name]))
    assert taken_over() == [*EXPERIMENTS]
    assert "curves_dense_ae: unchanged, taken over from the reference (made with commit " in capsys.readouterr().out
    assert taken_over("--fresh") == []
    changed = replace(DETECTORS["knn"], revision=DETECTORS["knn"].revision + 1)
    with monkeypatch.context() as patch:
        patch.setitem(DETECTORS, "knn", changed)
        assert taken_over() == []
    ablations = {**curves_dense_ae.EXPERIMENT.ablations, "another": {"epochs": 7}}
    monkeypatch.setattr(curves_dense_ae, "EXPERIMENT", replace(curves_dense_ae.EXPERIMENT, ablations=ablations))
    others = [name for name in EXPERIMENTS if name != "curves_dense_ae"]
    assert taken_over() == others
    # One part at a time: those that are not named stay, changed or not.
    capsys.readouterr()
    assert taken_over("--experiments", "mnist_conv_ae") == [*EXPERIMENTS]
    assert "curves_dense_ae: not made anew, taken over" in capsys.readouterr().out


def test_the_committed_reference_is_judged_by_the_rules_of_today():
    committed = read_results(REFERENCE)
    assert judged(committed) == committed


def test_what_the_committed_runs_have_not_computed_comes_with_the_next_reference():
    committed = read_results(REFERENCE)
    name, entry = "rare_event_lstm_ae", committed.experiments["rare_event_lstm_ae"]
    absent = "break_even.threshold"
    without = {
        seed: {metric: value for metric, value in metrics.items() if metric != absent}
        for seed, metrics in entry.seeds.items()
    }
    other = judged(replace(committed, experiments={name: replace(entry, seeds=without)})).experiments[name]
    waiting = {group.name: group for group in other.comparison.groups if group.verdict == "with the next reference"}
    newly = [group for group in entry.comparison.groups if group.name in waiting and group != waiting[group.name]]
    assert newly and all(any(one.metric == absent for one in group.members) for group in newly)
    assert "with the next reference" in conclusions.reproduced(other)
    assert other.comparison.summary.one_run_groups < sum(
        group.obtained == "one run" for group in other.comparison.groups
    )


def test_another_main_method_of_a_committed_ranking_has_its_auroc_and_no_comparisons():
    board = read_results(REFERENCE).experiments["mnist_dense_ae"].standings["held_out"]
    other = next(row.method for row in board.rows if row.method != board.reference)
    ranked = _relative_to(other, board)
    assert ranked.reference_row.auroc == next(row.auroc for row in board.rows if row.method == other)
    assert {row.standing for row in ranked.rows} == {"reference", "with the next reference"}
    assert all(row.difference is row.difference_interval is row.p_value is None for row in ranked.rows)
    assert _relative_to(board.reference, board) is board


def test_an_ablation_has_a_row_of_the_published_runs_over_its_seeds_if_there_are_several():
    entry = made_up(ExperimentResults, seeds={seed: {"m": float(seed)} for seed in range(4)})
    shown = replace(member("9.0", 0.0, 3.0, (-3.0, 6.0), "differs (lower)"), free=True, mean=1.5, n=4)
    group = made_up(GroupResult, name="g", verdict="differs (lower)", members=(shown,))
    two, one = (
        markdown._ablation_table(entry, group, [(ablation("a", dict.fromkeys(seeds, 1.0)), group)])
        for seeds in ((0, 1), (2,))
    )
    assert "| as published, seeds 0-1 | 2 | 0.50 | 0.71 | 0.00 to 1.00 |" in two
    assert "as published, seeds" not in one


def test_two_runs_that_printed_the_same_number_share_one_table_of_ablations():
    shown = member("0.4", 0.3, 0.7, (0.2, 0.8), "within spread")
    shown = replace(shown, free=True, n=3, tolerance=0.1)
    groups = [
        made_up(GroupResult, name=name, title=name, verdict="within spread", members=(shown,))
        for name in ("May", "June")
    ]
    comparison = made_up(Comparison, groups=tuple(groups))
    seeds = {seed: {"m": float(seed)} for seed in range(3)}
    changed = made_up(Ablation, label="longer", comparison=comparison, seeds=seeds)
    entry = made_up(ExperimentResults, comparison=comparison, seeds=seeds, variants=(changed,))
    text = "\n".join(markdown._explanations(entry))
    assert text.count("as published |") == text.count("| longer |") == 1
    assert "as published |" not in "\n".join(markdown._explanations(replace(entry, variants=())))
    assert "**May**: within spread" in text and "**June**: within spread" in text


def member(printed, minimum, maximum, interval, verdict="reproduced"):
    return made_up(
        MemberResult, metric="m", printed=printed, minimum=minimum, maximum=maximum, interval=interval, mean=0.5,
        standard_deviation=0.1, verdict=verdict,
    )  # fmt: skip


def test_a_number_beyond_both_of_what_is_shown_beside_it_is_not_called_reproduced():
    assert conclusions.outside_alone(member("0.76", 0.6, 0.73, (0.61, 0.74)))
    assert conclusions.outside_alone(member("0.76", 0.77, 0.8, (0.766, 0.9)))
    assert not conclusions.outside_alone(member("0.76", 0.77, 0.8, (0.764, 0.9))), "0.76 may have been 0.7649"
    assert not conclusions.outside_alone(member("0.76", 0.6, 0.77, (0.61, 0.74)))
    assert not conclusions.outside_alone(member("0.76", 0.6, 0.73, (0.61, 0.77)))
    assert not conclusions.outside_alone(member("0.76", 0.6, 0.73, (0.61, 0.74), "differs (lower)"))
    assert not conclusions.outside_alone(member("0.76", 0.6, 0.73, None, "exact"))


@pytest.mark.parametrize(
    ("address", "cell"),
    [(None, "| [0.76](https://source) |"), ("", "| 0.76 |"), ("https://other", "| [0.76](https://other) |")],
)
def test_a_number_links_to_the_page_that_it_is_on(address, cell):
    shown = (member("0.76", 0.6, 0.73, None, "no verdict"),)
    group = made_up(GroupResult, obtained="context", n=3, verdict="context", address=address, members=shown)
    assert cell in markdown._group(group, "https://source")


def test_the_seed_of_the_figures_is_explained_where_it_was_chosen():
    def entry(*seeds):
        given = ConditionalResult(made_up(ClaimResult, text="Both units are alive"), seeds, (), ())
        return made_up(ExperimentResults, figure_seed=1, comparison=made_up(Comparison, conditional=(given,)))

    assert markdown._figure_seed(entry(1, 2)) == (
        "These figures show seed 1, the first that meets the condition of the source: Both units are alive."
    )
    assert markdown._figure_seed(entry(2)) == "These figures show seed 1."


def test_the_figure_shows_the_free_numbers_on_which_verdicts_rest():
    members = (
        made_up(MemberResult, metric="free", printed="0.5", free=True, verdict="differs (lower)", p_value=0.01),
        made_up(MemberResult, metric="other", printed="0.7", verdict="follows"),
    )
    group = made_up(GroupResult, name="g", obtained="one run", verdict="differs (lower)", members=members)
    with figures.style():
        figure = report_figures.published_against_ours(
            [group], {"g": "logit"}, {seed: {"free": 0.5, "other": 0.8} for seed in range(3)}
        )
    (axis,) = figure.figure.axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["free"]
