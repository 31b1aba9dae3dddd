"""No data but those of a test, and small data sets of the same kind as the real ones."""

from urllib.error import URLError

import pytest
from msgspec import structs

from common import files as file_cache
from common.data import datasets, download
from tests.helpers.small_data import idx_files, npz_file, sha256, small_images


@pytest.fixture
def isolated(tmp_path, monkeypatch):
    """No data anywhere, no network, and a cache of its own. Returns a folder to put data in."""
    monkeypatch.setattr(file_cache, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(file_cache, "RAW_DATA", tmp_path / "raw")
    monkeypatch.setattr(datasets, "SHARED", tmp_path / "shared")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("ANOMALY_DATA", raising=False)
    monkeypatch.setattr(download, "open_address", no_network)
    monkeypatch.setattr(datasets, "_warned", set())
    datasets._try_to_fetch.cache_clear()
    yield tmp_path
    datasets._try_to_fetch.cache_clear()


def no_network(address):
    raise URLError("Name or service not known")


def pinned(name, *forms, content, arrays):
    """The entry of a data set, as if these were its published files."""
    entry = datasets.DATASETS[name]
    return datasets.DataSet(
        **{
            **structs.asdict(entry),
            "content": content,
            "arrays": arrays,
            "forms": tuple(
                datasets.Form(
                    tuple(datasets.File(file, len(data), sha256(data)) for file, data in form.items()), addresses
                )
                for form, addresses in zip(forms, (("https://a/", "https://b/"), ("https://c/",)), strict=False)
            ),
        }
    )


@pytest.fixture
def small(isolated, monkeypatch):
    """MNIST and Fashion-MNIST of a few images each, and the bytes of their files."""
    files = {}
    for seed, name in enumerate(("mnist", "fashion_mnist")):
        images = small_images(seed)
        forms = [idx_files(images), npz_file(images)] if name == "mnist" else [idx_files(images)]
        content, *arrays = (sha256(b"".join(array.tobytes() for array in some)) for some in (images, *zip(images)))
        monkeypatch.setitem(datasets.DATASETS, name, pinned(name, *forms, content=content, arrays=tuple(arrays)))
        files[name] = forms
    return files
