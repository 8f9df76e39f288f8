import io

import numpy as np
import pytest
from dancedepth.pipeline.png import encode_png
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

SIDES = st.integers(1, 40)


@given(
    st.one_of(
        arrays.arrays(np.uint8, st.tuples(SIDES, SIDES)),
        arrays.arrays(np.uint16, st.tuples(SIDES, SIDES)),
        arrays.arrays(np.uint8, st.tuples(SIDES, SIDES, st.just(3))),
    )
)
def test_another_decoder_reads_the_same_pixels(pixels: np.ndarray) -> None:
    for laid in (pixels, np.asfortranarray(pixels), pixels[::-1]):
        with Image.open(io.BytesIO(encode_png(laid))) as image:
            image.verify()
        with Image.open(io.BytesIO(encode_png(laid))) as image:
            assert image.mode == ("RGB" if laid.ndim == 3 else {1: "L", 2: "I;16"}[laid.itemsize])
            assert np.array_equal(np.asarray(image), laid)


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((4, 4)), np.zeros((4, 0), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros(4, np.uint8)],
    ids=["floats", "empty", "alpha", "a row"],
)
def test_what_is_no_image_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="no image"):
        encode_png(pixels)
