"""The errors that a user can cause, so that the command line can tell them from our own mistakes."""


class SuiteError(Exception):
    """Something that the user can mend: the message says what was found, what was expected, what to do."""


class ConfigError(SuiteError):
    """An option has a value that the experiment cannot run with."""


class RecordError(SuiteError):
    """A run record is damaged, or was written by another version of the suite."""


class PublishedError(SuiteError):
    """A file of published numbers breaks the rules in data/README.md."""


class DataError(SuiteError):
    """A data set is absent, damaged, or not what it should be."""


class ThresholdError(SuiteError):
    """Scores that no threshold can be fitted on or applied to, or a rate that they cannot show."""
