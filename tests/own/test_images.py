"""Images of a user: layouts of folders, .npz files, formats and colours, and what is refused."""

import io
import os
import random
import unicodedata
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits

from common.errors import DataError
from common.own import pixels as pixels_of
from common.own.folders import divide
from common.own.images import read_images, read_unlabelled
from common.own.pixels import decode, reduce, reduce_arrays


def refused(path, *parts, read=read_images):
    """The error for a path is one line with the path and some other parts."""
    with pytest.raises(DataError) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message
    for part in (str(path), *parts):
        assert part in message
    return message


def fill(save, folder, **classes):
    for name, count in classes.items():
        for index in range(count):
            save(folder / name / f"{index:03}.png")
    return folder


# Layouts.


def test_one_folder_per_class(save, tmp_path):
    images = read_images(fill(save, tmp_path / "parts", good=10, bad=5, one=1))
    # A fifth of each class, at least one of two or more.
    assert images.y_test.tolist() == ["bad", "good", "good"]
    assert images.y_train.tolist() == ["bad"] * 4 + ["good"] * 8 + ["one"]
    assert images.y_train.dtype.kind == "U"
    assert images.x_train.shape == (13, 28, 28) and images.x_train.dtype == images.x_test.dtype == np.uint8


@given(st.integers(0, 60), st.integers(2, 60))
def test_the_test_part_is_a_fifth_of_each_class_and_does_not_depend_on_the_others(few, many):
    from common.own.folders import _chosen

    train, test = _chosen(list(range(many)))
    assert sorted(train + test) == list(range(many)) and train == sorted(train) and test == sorted(test)
    assert len(test) == max(1, round(many / 5)) and train
    assert _chosen(list(range(few)))[1] == [] or few >= 2


def test_whole_numbers_are_classes_of_type_int64(save, tmp_path):
    images = read_images(fill(save, tmp_path, **{"3": 5, "10": 5}))
    assert images.y_train.dtype == images.y_test.dtype == np.int64
    assert set(images.y_test) == {3, 10}


@pytest.mark.parametrize("names", [("1", "01"), ("1", "one"), ("1_0", "2"), ("1.0", "2"), ("٣", "2")])
def test_other_classes_are_texts(save, tmp_path, names):
    images = read_images(fill(save, tmp_path, **dict.fromkeys(names, 2)))
    assert {*images.y_train.tolist(), *images.y_test.tolist()} == {*names}


def test_training_and_test_folders_with_other_folders_beside_them(save, tmp_path):
    fill(save, tmp_path / "train", good=3)
    fill(save, tmp_path / "test", good=2, scratch=1)
    fill(save, tmp_path / "ground_truth", scratch=1)
    save(tmp_path / "preview.png")
    images = read_images(tmp_path)
    assert images.y_train.tolist() == ["good"] * 3
    assert images.y_test.tolist() == ["good", "good", "scratch"]


def test_a_folder_of_images_alone_has_no_labels(save, tmp_path):
    for index in range(10):
        save(tmp_path / f"{index}.png")
    images = read_images(tmp_path)
    assert images.y_train is None and images.y_test is None
    assert (len(images.x_train), len(images.x_test)) == (8, 2)


def test_two_spellings_of_an_accent_are_one_class(save, tmp_path):
    composed, apart = (unicodedata.normalize(form, "rayé") for form in ("NFC", "NFD"))
    fill(save, tmp_path / "train", **{apart: 3})
    fill(save, tmp_path / "test", **{composed: 2})
    images = read_images(tmp_path)
    assert {*images.y_train.tolist(), *images.y_test.tolist()} == {apart}


@pytest.mark.parametrize("name", ["良品", "дефект", "two words", "a'b\"c", "ünïcode 🙂"])
def test_classes_in_any_script(save, tmp_path, name):
    assert set(read_images(fill(save, tmp_path, **{name: 5, "b": 2})).y_test.tolist()) == {name, "b"}


def test_the_order_on_the_disk_has_no_influence(save, tmp_path):
    names = [f"{name}/{index}.png" for name in "ab" for index in range(6)]
    for place in ("one", "two"):
        random.Random(place).shuffle(names)
        for name in names:
            save(tmp_path / place / name)
    one, two = (read_images(tmp_path / place) for place in ("one", "two"))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_only_images_are_read(save, tmp_path):
    fill(save, tmp_path, a=3, b=3)
    for name in (".hidden.png", "notes.txt", "Thumbs.db", "._0.png"):
        (tmp_path / "a" / name).write_bytes(b"no image")
    (tmp_path / ".git").mkdir()
    (tmp_path / "readme.md").write_text("about")
    save(tmp_path / "a" / "deep" / "er" / "x.PNG")
    save(tmp_path / "b" / "y.JpEg", format="JPEG")
    images = read_images(tmp_path)
    assert len(images.x_train) + len(images.x_test) == 8


def test_links(save, tmp_path):
    fill(save, tmp_path / "elsewhere", b=3)
    folder = fill(save, tmp_path / "parts", a=3)
    (folder / "b").symlink_to(tmp_path / "elsewhere" / "b")
    (folder / "loop").symlink_to(folder)
    (folder / "a" / "up").symlink_to(folder)
    (folder / "a" / "self").symlink_to(folder / "a")
    (folder / "0_a").symlink_to(folder / "a")
    images = read_images(folder)
    assert len(images.x_train) + len(images.x_test) == 6
    assert set(images.y_train.tolist()) == {"a", "b"}


@pytest.mark.parametrize("place", ["a/x.png", "gone", "a/self"])
def test_a_link_that_points_nowhere(save, tmp_path, place):
    fill(save, tmp_path, a=3, b=3)
    target = tmp_path / place if place == "a/self" else tmp_path / "nowhere"
    (tmp_path / place).symlink_to(target)
    refused(tmp_path, str(tmp_path / place), "a link that points nowhere")
    (tmp_path / "link").symlink_to("nothing")
    refused(tmp_path / "link", "a link that points nowhere")


def test_other_layouts_are_refused(save, tmp_path):
    refused(tmp_path / "none", "there is no file or folder")
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(empty, "holds no images", "one sub-folder of images per class")
    refused(save(tmp_path / "single" / "one.png"), "no data set of images", "one sub-folder of images per class")
    refused(tmp_path / "single", "expected 2 or more training images, found 1")
    fill(save, tmp_path / "mixed", a=3)
    save(tmp_path / "mixed" / "x.png")
    refused(tmp_path / "mixed", str(tmp_path / "mixed" / "x.png"), "beside folders of classes")
    (fill(save, tmp_path / "hollow", a=3) / "b").mkdir()
    refused(tmp_path / "hollow", str(tmp_path / "hollow" / "b"), "holds no images")
    (tmp_path / "table.csv").write_text("a,b")
    refused(tmp_path / "table.csv", "no data set of images", ".npz")


@pytest.mark.parametrize("counts", [{"a": 1}, {"a": 2}, {"a": 1, "b": 1}])
def test_too_few_images(save, tmp_path, counts):
    refused(fill(save, tmp_path, **counts), "or more", "images, found")


@pytest.mark.parametrize("present", ["train", "test"])
def test_one_of_two_parts(save, tmp_path, present):
    fill(save, tmp_path / present, good=3)
    refused(tmp_path, f"a sub-folder {present}, but none that is called")
    other = tmp_path / ("test" if present == "train" else "train")
    other.mkdir()
    refused(tmp_path, str(other), "no sub-folders")
    save(other / "x.png")
    refused(tmp_path, str(other / "x.png"), "beside folders of classes")


def test_a_pipe_does_not_hang(save, tmp_path):
    fill(save, tmp_path, a=4)
    os.mkfifo(tmp_path / "a" / "pipe.png")
    os.mkfifo(tmp_path / "pipe")
    assert len(divide(tmp_path).train) == 3
    refused(tmp_path / "pipe", "neither a file nor a folder")


# .npz files.


def archive(path, **arrays):
    np.savez(path, **arrays)
    return path


def arrays_of(shape=(28, 28), dtype=np.uint8, high=256, seed=0):
    draw = np.random.default_rng(seed)
    return {f"x_{part}": draw.integers(0, high, (n, *shape)).astype(dtype) for part, n in (("train", 6), ("test", 3))}


@pytest.mark.parametrize("packed", [False, True])
def test_npz(tmp_path, packed):
    arrays = {**arrays_of(), "y_train": np.arange(6, dtype=np.uint8), "y_test": np.arange(3.0), "more": np.ones(3)}
    (np.savez_compressed if packed else np.savez)(tmp_path / "a.npz", **arrays)
    images = read_images(tmp_path / "a.npz")
    assert all(np.array_equal(found, arrays[name]) for name, found in images._asdict().items())
    assert images.x_train.dtype == np.uint8 and images.y_train.dtype == images.y_test.dtype == np.int64


def test_npz_without_labels_or_with_names(tmp_path):
    images = read_images(archive(tmp_path / "a.npz", **arrays_of()))
    assert images.y_train is None and images.y_test is None
    names = {"y_train": np.array(list("ababab")), "y_test": np.array([["a"], ["c"], ["b"]])}
    images = read_images(archive(tmp_path / "b.npz", **arrays_of(), **names))
    assert images.y_train.tolist() == list("ababab") and images.y_test.tolist() == ["a", "c", "b"]
    numbers = {"y_train": np.array(list("121212")), "y_test": np.array([1, 2, 3])}
    images = read_images(archive(tmp_path / "c.npz", **arrays_of(), **numbers))
    assert images.y_train.tolist() == [1, 2] * 3 and images.y_test.dtype == np.int64
    mixed = {"y_train": np.array(list("ababab")), "y_test": np.array([1, 2, 3])}
    assert read_images(archive(tmp_path / "d.npz", **arrays_of(), **mixed)).y_test.tolist() == ["1", "2", "3"]


@pytest.mark.parametrize("dtype", [np.int64, np.uint16, np.float32, np.float64, ">i4"])
def test_other_types_of_whole_numbers(tmp_path, dtype):
    images = read_images(archive(tmp_path / "a.npz", **arrays_of(dtype=dtype)))
    assert np.array_equal(images.x_train, arrays_of()["x_train"]) and images.x_train.dtype == np.uint8


def test_fractions_from_zero_to_one(tmp_path):
    arrays = arrays_of()
    scaled = {name: x.astype(np.float32) / 255 for name, x in arrays.items()}
    images = read_images(archive(tmp_path / "a.npz", **scaled))
    assert np.array_equal(images.x_train, arrays["x_train"])
    # Both parts have one scale: a dark test part is not made brighter.
    dark = {"x_train": arrays["x_train"].astype(float), "x_test": np.ones((2, 28, 28))}
    assert set(read_images(archive(tmp_path / "b.npz", **dark)).x_test.flat) == {1}


def test_channels(tmp_path):
    grey = arrays_of()
    for channels in (1, 3):
        colour = {name: np.repeat(x[..., None], channels, axis=3) for name, x in grey.items()}
        found = read_images(archive(tmp_path / "a.npz", **colour))
        assert np.array_equal(found.x_train, grey["x_train"]), channels
    opaque = {
        name: np.concatenate([np.repeat(x[..., None], 3, axis=3), np.full((*x.shape, 1), 255, np.uint8)], axis=3)
        for name, x in grey.items()
    }
    assert np.array_equal(read_images(archive(tmp_path / "a.npz", **opaque)).x_train, grey["x_train"])
    opaque["x_test"][..., 3] = 0
    assert not read_images(archive(tmp_path / "a.npz", **opaque)).x_test.any()


def test_bool_is_black_and_white():
    x = np.random.default_rng(0).random((2, 28, 28)) < 0.5
    assert np.array_equal(reduce_arrays({"x": x}, None)["x"], x * 255)


BAD_ARRAYS = {
    "nothing": ({}, "missing x_train, x_test"),
    "no test part": ({"x_train": arrays_of()["x_train"]}, "missing x_test"),
    "half of the labels": ({**arrays_of(), "y_train": np.zeros(6)}, "missing y_test"),
    "negative": (arrays_of(dtype=np.int8), "array x_train: expected values from 0 to 255"),
    "above 255": (arrays_of(dtype=np.int64, high=999), "array x_train: expected values from 0 to 255"),
    "NaN": ({**arrays_of(), "x_test": np.full((3, 28, 28), np.nan)}, "array x_test: expected values"),
    "infinite": ({**arrays_of(), "x_test": np.full((3, 28, 28), np.inf)}, "array x_test: expected values"),
    "two channels": (arrays_of((28, 28, 2)), "found (6, 28, 28, 2) of uint8"),
    "flat": (arrays_of((784,)), "found (6, 784) of uint8"),
    "complex": (arrays_of(dtype=np.complex64), "of complex64"),
    "texts": ({**arrays_of(), "x_test": np.full((3, 28, 28), "a")}, "of <U1"),
    "no images": ({**arrays_of(), "x_test": np.zeros((0, 28, 28))}, "array x_test: expected images, found none"),
    "no pixels": ({**arrays_of(), "x_test": np.zeros((3, 0, 28))}, "array x_test: expected images, found none"),
    "one image": ({**arrays_of(), "x_train": np.zeros((1, 28, 28))}, "expected 2 or more training images, found 1"),
    "too few labels": ({**arrays_of(), "y_train": np.zeros(5), "y_test": np.zeros(3)}, "array y_train: expected one"),
    "hot labels": ({**arrays_of(), "y_train": np.zeros((6, 2)), "y_test": np.zeros(3)}, "found shape (6, 2)"),
    "fractions as labels": ({**arrays_of(), "y_train": np.full(6, 0.5), "y_test": np.zeros(3)}, "array y_train"),
    "NaN as labels": ({**arrays_of(), "y_train": np.zeros(6), "y_test": np.full(3, np.nan)}, "array y_test"),
    "bytes as labels": ({**arrays_of(), "y_train": np.zeros(6), "y_test": np.full(3, b"a")}, "found |S1"),
    "objects": ({**arrays_of(), "y_train": np.array([{}] * 6), "y_test": np.zeros(3)}, "no .npz file of plain arrays"),
}


@pytest.mark.parametrize(("arrays", "problem"), BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_arrays_that_are_no_images_are_named(tmp_path, arrays, problem):
    refused(archive(tmp_path / "a.npz", **arrays), problem)


def test_damaged_npz(tmp_path):
    content = archive(tmp_path / "a.npz", **arrays_of()).read_bytes()
    single = io.BytesIO()
    np.save(single, np.zeros(3))
    for damaged in (b"", b"nothing", content[:-30], content[: len(content) // 2], single.getvalue()):
        (tmp_path / "a.npz").write_bytes(damaged)
        refused(tmp_path / "a.npz", "no .npz file of plain arrays")


# One image: formats, colours, sizes.


GREY = np.random.default_rng(1).integers(0, 256, (28, 28), dtype=np.uint8)


def decoded(image, form="PNG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return decode(file.getvalue(), "x")


def test_a_grey_image_of_the_right_size_is_unchanged():
    for form in ("PNG", "BMP"):
        assert np.array_equal(decoded(Image.fromarray(GREY), form), GREY)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "CMYK"])
def test_other_colours(mode):
    form = "JPEG" if mode == "CMYK" else "PNG"
    level = Image.new("RGB", (28, 28), (102, 102, 102)).convert(mode)
    assert np.abs(decoded(level, form).astype(int) - 102).max() <= 2
    for colour, due in (("red", 76), ("lime", 150), ("blue", 29)):
        found = decoded(Image.new("RGB", (40, 40), colour).convert(mode), form)
        assert np.abs(found.astype(int) - due).max() <= 3 or mode == "LA"


def test_one_bit():
    assert np.array_equal(decoded(Image.fromarray(GREY > 127)), (GREY > 127) * 255)


def test_sixteen_bits_are_scaled():
    levels = np.arange(784, dtype=np.uint16).reshape(28, 28) * 83
    found = decoded(Image.fromarray(levels))
    assert np.array_equal(found, np.rint(levels / 257))
    assert decoded(Image.fromarray(np.full((30, 30), 65535, np.uint16))).min() == 255


def test_transparent_pixels_lie_over_black():
    for image in (Image.new("LA", (28, 28), (200, 0)), Image.new("RGBA", (28, 28), (200, 200, 200, 0))):
        assert not decoded(image).any()
    assert not decoded(Image.new("L", (28, 28), 200), transparency=200).any()
    assert abs(int(decoded(Image.new("RGBA", (28, 28), (200, 200, 200, 128)))[0, 0]) - 100) <= 1
    palette = Image.new("P", (28, 28), 1)
    palette.putpalette([0, 0, 0, 250, 250, 250])
    assert decoded(palette).min() == 250 and not decoded(palette, transparency=1).any()


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_large_images_are_reduced_by_the_mean_of_areas(wide, high, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (28 * high, 28 * wide), dtype=np.uint8)
    means = pixels.reshape(28, high, 28, wide).mean(axis=(1, 3))
    assert np.abs(reduce(Image.fromarray(pixels)) - means).max() <= 0.51 + (wide > 1 and high > 1) * 0.5


@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 255))
def test_images_of_any_size_keep_their_brightness(wide, high, level):
    found = reduce(Image.new("L", (wide, high), level))
    assert found.shape == (28, 28) and found.dtype == np.uint8 and (found == level).all()


def test_small_images_are_interpolated():
    found = reduce(Image.fromarray(np.array([[0, 255]], np.uint8)))
    assert (np.diff(found[0].astype(int)) >= 0).all() and len(set(found[0].tolist())) > 10


def test_an_image_is_turned_upright():
    exif = Image.Exif()
    exif[274] = 6
    assert np.array_equal(decoded(Image.fromarray(GREY), exif=exif), np.rot90(GREY, -1))
    exif[274] = 3
    assert np.array_equal(decoded(Image.fromarray(GREY), exif=exif), np.rot90(GREY, 2))


def png_of(width, height):
    """A PNG whose header promises a size, without the pixels."""

    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def bytes_of(image, form="PNG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


FRAMES = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
BAD_IMAGES = {
    "empty": (b"", "no PNG, JPEG or BMP image: it is empty"),
    "a text": (b"GIF? no", "no PNG, JPEG or BMP image: it begins with b'GIF? no'"),
    "a GIF": (bytes_of(FRAMES[0], "GIF"), "no PNG, JPEG or BMP image"),
    "a TIFF": (bytes_of(FRAMES[0], "TIFF"), "no PNG, JPEG or BMP image"),
    "a PNG that ends early": (bytes_of(FRAMES[0])[:300], "damaged"),
    "a JPEG that ends early": (bytes_of(FRAMES[0].resize((200, 200)), "JPEG")[:2000], "damaged"),
    "a BMP that ends early": (bytes_of(FRAMES[0], "BMP")[:1500], "damaged"),
    "animated": (bytes_of(FRAMES[0], save_all=True, append_images=FRAMES[1:]), "an animated PNG"),
    "a little large": (png_of(7_072, 7_072), "more than 50000000 pixels"),
    "large": (png_of(10_000, 10_000), "more than 50000000 pixels"),
    "huge": (png_of(2_000_000_000, 2_000_000_000), "more than 50000000 pixels"),
    "without pixels": (png_of(28, 28), "damaged"),
    "of no width": (png_of(0, 28), "no PNG, JPEG or BMP image"),
}


@pytest.mark.parametrize(("content", "problem"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_bad_images_are_named(save, tmp_path, content, problem):
    fill(save, tmp_path, a=3, b=3)
    bad = tmp_path / "b" / "bad one.png"
    bad.write_bytes(content)
    refused(tmp_path, str(bad), problem)
    refused(bad, problem, read=read_unlabelled)


def test_every_changed_bit_of_a_png_is_noticed_or_changes_no_pixel():
    content = bytes_of(Image.fromarray(GREY))
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        try:
            assert np.array_equal(decode(bytes(changed), "x"), GREY) or place < 60
        except DataError as error:
            assert str(error).startswith("x ")


def test_a_jpeg_with_a_second_picture_is_read(tmp_path):
    """As telephones write them: a preview behind the picture."""
    first, second = (Image.new("L", (28, 28), level) for level in (100, 200))
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second])
    assert read_unlabelled(tmp_path / "a.jpg")[1].max() == 100


# To score.


def test_unlabelled_images(save, tmp_path):
    path = save(tmp_path / "b" / "x.png", GREY)
    save(tmp_path / "a.bmp")
    save(tmp_path / "b" / "c" / "y.jpg")
    names, found = read_unlabelled(path)
    assert names == ["x.png"] and np.array_equal(found, GREY[None])
    names, found = read_unlabelled(tmp_path)
    assert names == ["a.bmp", "b/c/y.jpg", "b/x.png"] and np.array_equal(found[2], GREY)
    assert found.dtype == np.uint8


def test_unlabelled_arrays(tmp_path):
    x = arrays_of()
    names, found = read_unlabelled(archive(tmp_path / "a.npz", **x))
    assert names == ["0", "1", "2"] and np.array_equal(found, x["x_test"])
    names, found = read_unlabelled(archive(tmp_path / "a.npz", pictures=x["x_train"], y=np.zeros(6)))
    assert len(names) == 6 and np.array_equal(found, x["x_train"])


def test_nothing_to_score(tmp_path):
    refused(tmp_path, "holds no images", read=read_unlabelled)
    refused(tmp_path / "x.png", "there is no file", read=read_unlabelled)
    x = arrays_of()["x_train"]
    for arrays in ({"a": x, "b": x}, {"y": np.zeros(3)}, {}):
        refused(archive(tmp_path / "a.npz", **arrays), "expected an array x_test", read=read_unlabelled)


# The same digits in all layouts.


def test_digits_are_the_same_in_a_folder_and_in_an_archive(save, tmp_path):
    digits = load_digits()
    x, y = (digits.images[:200] * 16).clip(0, 255).astype(np.uint8), digits.target[:200]
    for index, (pixels, digit) in enumerate(zip(x, y, strict=True)):
        save(tmp_path / "parts" / ("train" if index < 150 else "test") / str(digit) / f"{index:04}.png", pixels)
    order = [np.argsort(part, kind="stable") for part in (y[:150], y[150:])]
    sorted_parts = {"x_train": x[:150][order[0]], "y_train": y[:150][order[0]]}
    sorted_parts |= {"x_test": x[150:][order[1]], "y_test": y[150:][order[1]]}
    in_folder = read_images(tmp_path / "parts")
    in_archive = read_images(archive(tmp_path / "digits.npz", **sorted_parts))
    for name in in_folder._fields:
        assert np.array_equal(getattr(in_folder, name), getattr(in_archive, name)), name
        assert getattr(in_folder, name).dtype == getattr(in_archive, name).dtype


def test_the_limit_of_pixels_is_checked_before_they_are_decoded(monkeypatch):
    monkeypatch.setattr(pixels_of, "MOST_PIXELS", 28 * 28 - 1)
    monkeypatch.setattr(pixels_of, "reduce", lambda image: pytest.fail("decoded"))
    with pytest.raises(DataError, match="more than 783 pixels"):
        decode(bytes_of(FRAMES[0]), "x")
