import numpy as np
import pytest
import scipy.stats

from common.data.datasets import DATASETS
from common.detectors.registry import DETECTORS
from common.errors import PublishedError
from common.files import REPORTS
from common.papers.tables import TABLES, read_tables
from common.report.results import read_results


def test_every_table_is_read_and_names_classes_of_its_data_set():
    tables = [table for dataset in ("mnist", "fashion_mnist") for table in read_tables(dataset)]
    assert len(tables) == len([*TABLES.glob("*.toml")]) == 4
    for table in tables:
        assert set(table.classes) <= set(range(len(DATASETS[table.dataset].classes)))
        assert all(column.spread for column in table.columns if column.spreads)


def test_the_means_of_the_columns_are_those_that_the_papers_print():
    (golan,) = read_tables("fashion_mnist")
    printed = {"RAW-OC-SVM": 92.8, "CAE-OC-SVM": 91.7, "DAGMM": 51.8, "DSEBM": 86.6, "ADGAN": 88.4,
               "geometric transformations": 93.5}  # fmt: skip
    means = {column.method: np.mean([float(value) for value in column.values]) for column in golan.columns}
    # Half a printed unit for the rounding of the numbers, and half for that of their mean.
    assert means == pytest.approx(printed, abs=0.1)


def test_the_rows_of_golan_and_el_yaniv_are_in_alphabetical_order():
    (golan,) = read_tables("fashion_mnist")
    names = [DATASETS["fashion_mnist"].classes[one] for one in golan.classes]
    assert names == sorted(names)


def test_our_nearest_neighbours_agree_with_the_alphabetical_order_better_than_with_that_of_the_labels():
    (golan,) = read_tables("fashion_mnist")
    sweep = read_results(REPORTS / "reference").experiments["fashion_latent_ocsvm"].sweep
    knn = DETECTORS["knn"].title
    ours = [next(row.auroc for row in sweep.boards[one].rows if row.method == knn) for one in range(10)]
    for method in ("RAW-OC-SVM", "CAE-OC-SVM"):
        column = next(column for column in golan.columns if column.method == method)
        printed = [float(value) for value in column.values]
        by_class = dict(zip(golan.classes, printed, strict=True))
        alphabetical = scipy.stats.spearmanr(ours, [by_class[one] for one in range(10)]).statistic
        assert alphabetical > 0.8 > 0.6 > scipy.stats.spearmanr(ours, printed).statistic


def test_a_printed_text_has_its_spread():
    ruff = next(table for table in read_tables("mnist") if table.authors.startswith("L. Ruff"))
    by_method = {column.method: ruff.printed(column) for column in ruff.columns}
    assert by_method["isolation forest"][5] == "85.5 +- 0.8"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("classes = [0, 1]", "classes = [0, 0]"), "a class has two rows"),
        (("values = [", 'values = ["1.0", '), "needs 2 numbers"),
        (("role", "rule"), "rule"),
    ],
)
def test_a_wrong_table_is_refused_with_its_name(tmp_path, change, message):
    text = """title = "a"
authors = "b"
where = "c"
address = "https://example.org"
dataset = "mnist"
role = "normal"
number = "AUROC"
differs = "d"
classes = [0, 1]
[[columns]]
method = "e"
values = ["0.5", "0.6"]
"""
    (tmp_path / "table.toml").write_text(text.replace(*change))
    with pytest.raises(PublishedError, match="table.toml: .*" + message):
        read_tables("mnist", tmp_path)
