"""Convert images of any size and colour to 28 x 28 grey pixels."""

import io
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import DataError
from common.own.contents import one_line

FORMATS = ("PNG", "JPEG", "BMP")
SIDE = 28
MOST_PIXELS = 50_000_000


def decode(content: bytes, place: Path) -> np.ndarray:
    """Decode an image file, turn it upright as its EXIF data say, and reduce it, see `reduce`.

    Args:
        content: content of a PNG, JPEG or BMP file.
        place: path of the file, for error messages.

    Returns:
        uint8 array (28, 28).

    Raises:
        DataError: the file is damaged or of another format, is animated, or has more than 50 million pixels.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    too_large = f"{place} has more than {MOST_PIXELS} pixels; expected a smaller image"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise DataError(too_large)
                if image.format == "PNG" and getattr(image, "n_frames", 1) > 1:
                    raise DataError(f"{place} is an animated PNG; expected a single image")
                return reduce(ImageOps.exif_transpose(image))
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(too_large) from error
    except UnidentifiedImageError as error:
        found = "it is empty" if not content else f"it begins with {content[:16]!r}"
        raise DataError(f"{place} is no PNG, JPEG or BMP image: {found}") from error
    except Exception as error:  # a damaged file can raise any exception of PIL, struct and zlib
        raise DataError(f"{place} is damaged: {one_line(error)}") from error


def reduce(image: Any) -> np.ndarray:
    """Convert an image to grey, and resize it to 28 x 28.

    Transparent pixels are laid over black. Images that are not square are squeezed. Each new pixel is the mean of an
    area if the image is at least 28 pixels wide and high, and is interpolated linearly otherwise; a grey image of
    28 x 28 is unchanged.

    Args:
        image: a PIL image of any mode.

    Returns:
        uint8 array (28, 28).
    """
    from PIL.Image import Resampling

    grey = _to_grey(image)
    large = min(grey.size) >= SIDE
    return np.asarray(grey.resize((SIDE, SIDE), Resampling.BOX if large else Resampling.BILINEAR))


def _to_grey(image: Any) -> Any:
    from PIL import Image

    if image.mode.startswith("I"):
        # 16 bits per pixel, where 65535 is white; PIL would make everything above 255 white.
        return Image.fromarray(((np.asarray(image).astype(np.int64) + 128) // 257).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    return image.convert("L")


def reduce_arrays(arrays: dict[str, np.ndarray], place: Path) -> dict[str, np.ndarray]:
    """Convert arrays of images to grey bytes and reduce each image, see `reduce`.

    Args:
        arrays: arrays by name, of shape (n, h, w), or (n, h, w, channels) with 1 channel (grey), 3 (red, green, blue)
            or 4 (and opacity). Whole numbers go from 0 to 255, bool from black to white. Fractions go from 0 to 1 if
            none in any of the arrays is larger, otherwise from 0 to 255, and are rounded.
        place: path of their file, for error messages.

    Returns:
        uint8 arrays (n, 28, 28) by the same names.

    Raises:
        DataError: an array has another shape, another type, or values out of these bounds.
    """
    for name, x in arrays.items():
        _require_images(x, f"{place}, array {name}")
    brightest = max((float(x.max()) for x in arrays.values() if x.dtype.kind == "f"), default=math.inf)
    scale = 255 if brightest <= 1 else 1
    return {name: _reduce_array(_to_bytes(x, scale)) for name, x in arrays.items()}


def _require_images(x: np.ndarray, place: str) -> None:
    known = x.ndim == 3 or (x.ndim == 4 and x.shape[3] in (1, 3, 4))
    if not known or x.dtype.kind not in "buif":
        shapes = "(n, h, w) or (n, h, w, channels) with 1, 3 or 4 channels"
        raise DataError(f"{place}: expected numbers of shape {shapes}, found {x.shape} of {x.dtype}")
    if x.size == 0:
        raise DataError(f"{place}: expected images, found none in shape {x.shape}")
    if x.shape[1] * x.shape[2] > MOST_PIXELS:
        raise DataError(f"{place}: an image has more than {MOST_PIXELS} pixels")
    # NaN is neither smaller nor larger, and must not pass.
    if not (x.min() >= 0 and x.max() <= 255):
        raise DataError(f"{place}: expected values from 0 to 255, or from 0 to 1, found {x.min()} to {x.max()}")


def _to_bytes(x: np.ndarray, scale: int) -> np.ndarray:
    if x.dtype.kind == "f":
        return np.rint(x.astype(np.float64) * scale).astype(np.uint8)
    return x.astype(np.uint8) * np.uint8(255) if x.dtype.kind == "b" else x.astype(np.uint8)


def _reduce_array(x: np.ndarray) -> np.ndarray:
    from PIL import Image

    if x.ndim == 4 and x.shape[3] == 1:
        x = x[..., 0]
    if x.shape[1:] == (SIDE, SIDE):
        return x
    reduced = np.empty((len(x), SIDE, SIDE), np.uint8)
    for place, pixels in enumerate(x):
        reduced[place] = reduce(Image.fromarray(pixels))
    return reduced
