import argparse
from dataclasses import dataclass

import pytest

from common.config import BaseConfig, add_options, from_options, option
from common.errors import ConfigError
from common.experiment import load_experiment
from experiments import EXPERIMENTS


@dataclass(frozen=True)
class Config(BaseConfig):
    epochs: int = option(10, "passes", minimum=1)
    rate: float = option(0.5, "a rate", minimum=0.0, maximum=1.0)
    units: tuple[int, ...] = option((8, 4), "widths", minimum=1)
    kind: str = option("a", "which", choices=("a", "b"))
    extra: bool = option(True, "more")
    place: int | None = option(None, "where, if anywhere", minimum=0)
    which: int | str = option(1, "which one, or all", minimum=0, maximum=9, word="all")


def parse(*arguments):
    parser = argparse.ArgumentParser()
    add_options(parser, Config)
    return from_options(Config, parser.parse_args(arguments))


def test_a_word_may_stand_for_a_number_and_nothing_else_does(capsys):
    assert parse("--which", "all").which == "all" and parse("--which", "7").which == 7
    assert parse("--which", "7").changes() == {"which": 7}
    with pytest.raises(ConfigError, match="which must be at most 9"):
        parse("--which", "10")
    with pytest.raises(SystemExit):
        parse("--which", "some")
    assert "a number or the word all is needed. Received: 'some'" in capsys.readouterr().err


def test_every_field_is_an_option_and_the_rest_keeps_its_default():
    assert parse() == Config()
    parsed = parse("--epochs", "3", "--rate", "0.1", "--units", "6", "5", "--kind", "b", "--no-extra")
    assert parsed == Config(3, 0.1, (6, 5), "b", False)
    assert parsed.changes() == {"epochs": 3, "rate": 0.1, "units": [6, 5], "kind": "b", "extra": False}
    assert Config().changes() == {}


def test_an_option_that_is_not_set_is_no_part_of_the_config():
    assert "place" not in Config().to_dict()
    assert parse("--place", "3").changes() == {"place": 3}
    with pytest.raises(ConfigError, match="place must be at least 0"):
        parse("--place", "-1")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1. Received: epochs=0"),
        ({"rate": 1.5}, "rate must be at most 1.0. Received: rate=1.5"),
        ({"rate": float("nan")}, "rate must be finite"),
        ({"units": (8, 0)}, "units must be at least 1. Received: units=0"),
        ({"units": ()}, "units needs at least one value"),
        ({"kind": "c"}, "kind must be one of a, b. Received: kind=c"),
    ],
)
def test_impossible_values_are_refused_wherever_a_config_is_made(changes, message):
    with pytest.raises(ConfigError) as error:
        Config(**changes)
    assert message in str(error.value)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_option_of_every_experiment_has_help_and_a_valid_default(name):
    parser = argparse.ArgumentParser()
    config_type = load_experiment(EXPERIMENTS[name]).config
    add_options(parser, config_type)
    assert from_options(config_type, parser.parse_args([])) == config_type()
    text = parser.format_help()
    assert all(f"--{field.replace('_', '-')}" in text for field in config_type().to_dict())
