import contextlib
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from common.comparison.prediction import format_as_printed
from common.comparison.published import PUBLISHED, Published, read_published
from common.detectors.registry import DETECTORS
from common.errors import PublishedError
from common.experiment import load_experiment
from common.files import from_plain
from experiments import EXPERIMENTS

GOOD = """
[source]
title = "t"
author = "a"
address = "https://example.org"
date = "2020"
framework = "f"
document = "d"
summary = "s"
[[groups]]
name = "g"
title = "g"
obtained = "one run"
where = "w"
how = "h"
free = ["m.auroc"]
scale = "logit"
tolerance = 0.1
why = "because"
numbers = {"m.auroc" = "0.74"}
[[claims]]
name = "c"
text = "c"
where = "w"
holds = ["m.auroc > 0.5"]
[[conditions]]
name = "d"
text = "d"
where = "w"
holds = ["m.dead < 1"]
"""


def read(tmp_path, text):
    (tmp_path / "x.toml").write_text(text)
    return read_published("x", tmp_path)


def test_every_experiment_has_published_numbers_and_no_file_is_an_orphan():
    assert sorted(path.stem for path in PUBLISHED.glob("*.toml")) == sorted(EXPERIMENTS)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_field_of_a_published_file_is_filled(name):
    published = read_published(name)
    assert all(structs.asdict(published.source).values())
    assert published.groups and published.claims
    for group in published.groups:
        assert group.title and group.where and group.how
    assert published.source.address.startswith("https://")


def test_methods_that_are_not_run_have_a_reason_and_are_no_detectors():
    not_run = {name: why for experiment in EXPERIMENTS for name, why in read_published(experiment).not_run.items()}
    assert not_run and all(not_run.values())
    assert not not_run.keys() & (DETECTORS.keys() | {detector.title for detector in DETECTORS.values()})


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_settings_are_the_defaults_of_the_experiment(name):
    defaults = load_experiment(EXPERIMENTS[name]).config().to_dict()
    settings = {key: value for key, value in read_published(name).settings.items() if "." not in key}
    assert settings == {key: defaults.get(key) for key in settings}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_printed_reports_follow_from_their_recalls(name):
    """Of the numbers of a report over equal classes two are free; a slip of the pen would show here."""
    checked = 0
    for group in read_published(name).groups:
        recalls = [metric for metric in group.numbers if metric.endswith((".normal.recall", ".anomaly.recall"))]
        if len(recalls) != 2 or group.cases not in (None, 100):
            continue
        method = recalls[0].split(".")[0]
        true_normal, true_anomaly = (
            float(group.numbers[f"{method}.{kind}.recall"]) * 100 for kind in ("normal", "anomaly")
        )
        false_anomaly, false_normal = 100 - true_normal, 100 - true_anomaly
        expected = {
            "normal.precision": true_normal / (true_normal + false_normal),
            "normal.f1": 2 * true_normal / (2 * true_normal + false_normal + false_anomaly),
            "anomaly.precision": true_anomaly / (true_anomaly + false_anomaly),
            "anomaly.f1": 2 * true_anomaly / (2 * true_anomaly + false_normal + false_anomaly),
            "accuracy": (true_normal + true_anomaly) / 200,
        }
        if name == "curves_dense_ae":  # Of equal classes, both averages are plain means.
            expected["normal.recall"], expected["anomaly.recall"] = true_normal / 100, true_anomaly / 100
            for number in ("precision", "recall", "f1"):
                mean = (expected[f"normal.{number}"] + expected[f"anomaly.{number}"]) / 2
                expected |= {f"macro.{number}": mean, f"weighted.{number}": mean}
        for metric, value in expected.items():
            printed = group.numbers[f"{method}.{metric}"]
            # A half in the last digit goes either way, with the binary neighbour that the source computed.
            assert printed in {format_as_printed(value + nudge, printed) for nudge in (-1e-9, 1e-9)}, metric
        checked += 1
    assert checked >= (5 if name == "curves_dense_ae" else 0)


def test_a_good_file_is_read(tmp_path):
    published = read(tmp_path, GOOD)
    assert published.groups[0].numbers == {"m.auroc": "0.74"}
    assert published.groups[0].tolerance_of("m.auroc") == 0.1
    assert published.claims[0].holds_in({"m.auroc": 0.6}) is True
    assert published.claims[0].holds_in({"m.auroc": None}) is None
    assert published.conditions[0].holds_in({"m.dead": 0}) is True
    assert published.conditions[0].holds_in({"m.dead": 1}) is False
    assert published.metrics() == {"m.auroc", "m.dead"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"0.74"', "0.74", "Expected `str`, got `float` - at `$.groups[0].numbers"),
        ('"0.74"', '"0,74"', "at `$.groups[0].numbers"),
        ('"0.74"', '"nan"', "at `$.groups[0].numbers"),
        ('obtained = "one run"', 'obtained = "guessed"', "Invalid enum value 'guessed' - at `$.groups[0].obtained`"),
        ('scale = "logit"', 'scale = "cubic"', "Invalid enum value 'cubic' - at `$.groups[0].scale`"),
        ('scale = "logit"', 'scale = "logit"\naddress = "example.org"', "at `$.groups[0].address`"),
        ('scale = "logit"', 'scale = "logit"\naddress = 7', "at `$.groups[0].address`"),
        ('free = ["m.auroc"]', "", "free must name one or more"),
        ('free = ["m.auroc"]', 'free = ["m.recall"]', "free must name one or more"),
        ('obtained = "one run"', 'obtained = "exact"\nbeside = ["m.loss"]', "only a one-run group has `beside`"),
        ('why = "because"', 'why = "because"\nbesides = ["m.loss"]', "unknown field `besides` - at `$.groups[0]`"),
        ("tolerance = 0.1", "tolerance = 0", "at `$.groups[0].tolerance`"),
        ('why = "because"', "", "in `why` the reason"),
        ('where = "w"\nhow', "how", "missing required field `where`"),
        ('date = "2020"', "", "missing required field `date`"),
        ('"m.auroc > 0.5"', '"m.auroc is good"', "at `$.claims[0].holds[0]`"),
        ("[[claims]]", "[[claim]]", "unknown field `claim`"),
        ('"m.dead < 1"', '"m.dead is 0"', "at `$.conditions[0].holds[0]`"),
        ('["m.dead < 1"]', "[]", "at `$.conditions[0].holds`"),
        ('name = "g"', 'nom = "g"', "field `nom`"),
        ("[source]", "[source", "cannot be read"),
    ],
)
def test_a_broken_rule_is_named_with_its_file(tmp_path, old, new, message):
    assert old in GOOD
    with pytest.raises(PublishedError, match=r"^x\.toml") as error:
        read(tmp_path, GOOD.replace(old, new, 1))
    assert message in str(error.value)


def test_a_metric_may_stand_in_one_group_only(tmp_path):
    begin = GOOD.index("[[groups]]")
    twice = GOOD + GOOD[begin : GOOD.index("[[claims]]")].replace('name = "g"', 'name = "h"')
    with pytest.raises(PublishedError, match=r"metric named twice: m\.auroc"):
        read(tmp_path, twice)


def test_two_runs_of_a_source_may_print_the_same_metric(tmp_path):
    begin, end = GOOD.index("[[groups]]"), GOOD.index("[[claims]]")
    second = GOOD[begin:end].replace('name = "g"', 'name = "h"\nrun = "run of June"')
    first, other = read(tmp_path, GOOD[:end] + second + GOOD[end:]).groups
    assert (first.title_with_run, other.title_with_run) == ("g", "g (run of June)")
    with pytest.raises(PublishedError, match=r"metric named twice: m\.auroc run of June"):
        read(tmp_path, GOOD[:end] + second + second.replace('"h"', '"i"') + GOOD[end:])


def test_a_condition_may_not_be_named_twice(tmp_path):
    with pytest.raises(PublishedError, match="condition named twice: d"):
        read(tmp_path, GOOD + GOOD[GOOD.index("[[conditions]]") :])


def test_context_may_repeat_a_metric(tmp_path):
    begin = GOOD.index("[[groups]]")
    group = GOOD[begin : GOOD.index("[[claims]]")].replace('"one run"', '"context"')
    text = GOOD + group.replace('name = "g"', 'name = "h"') + group.replace('name = "g"', 'name = "i"')
    assert [group.name for group in read(tmp_path, text).groups] == ["g", "h", "i"]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(PublishedError, match=r"nothing\.toml cannot be read"):
        read_published("nothing", tmp_path)


json_like = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab.>0", max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["name", "numbers", "free"]), inner),
    max_leaves=6,
)


@given(st.sampled_from(["source", "settings", "groups", "claims", "conditions", "not_published"]), json_like)
def test_whatever_stands_in_a_file_nothing_but_the_suites_own_error_comes_out(key, value):
    content = {**tomllib.loads(GOOD), "experiment": "x", key: value}
    # `read_published` turns this error into a PublishedError.
    with contextlib.suppress(ValueError):
        from_plain(content, Published)
