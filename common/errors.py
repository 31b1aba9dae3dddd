"""Errors that a user can cause and correct, as opposed to errors in the code."""


class SuiteError(Exception):
    """Base class of errors that the user can correct; the message says what was found and expected, and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def printable(text: str) -> str:
    """Escape parts of a text that are not Unicode, such as the name of a file that is not UTF-8."""
    return text.encode(errors="backslashreplace").decode()


class ConfigError(SuiteError):
    """An option has an invalid value."""


class RecordError(SuiteError):
    """A run record is damaged, or was written by another version of the suite."""


class PublishedError(SuiteError):
    """A file of published numbers breaks the rules in data/README.md."""


class DataError(SuiteError):
    """A data set is missing or damaged, or does not have the expected content."""


class ThresholdError(SuiteError):
    """A threshold cannot be fitted on the given scores or applied to them, or the requested rate is out of bounds."""
