"""A cache of its own for each test, and small images."""

import numpy as np
import pytest
from PIL import Image

from common import files as file_cache
from common.own import contents


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    contents._warn_once.cache_clear()
    place = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(file_cache, "CACHE", place)
    return place


@pytest.fixture
def save():
    def save(path, pixels=None, mode=None, **options):
        """Write an image, by default one of grey pixels that depend on its name."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if pixels is None:
            pixels = np.random.default_rng(list(path.name.encode())).integers(0, 256, (28, 28), dtype=np.uint8)
        image = Image.fromarray(pixels)
        (image.convert(mode) if mode else image).save(path, **options)
        return path

    return save
