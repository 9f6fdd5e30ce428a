"""Comments within compressed pixels go, the pixels stay."""

import io

import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate, generate_fragments

from kmed.data.dicom.deidentification.codestream_comments import without_comments

PICTURE = (np.add.outer(np.arange(16), np.arange(16)) * 8).astype("u1")


def frame(form, **options):
    file = io.BytesIO()
    Image.fromarray(PICTURE).save(file, form, **options)
    return file.getvalue()


def decoded(fragment):
    return np.asarray(Image.open(io.BytesIO(fragment)))


@pytest.mark.parametrize(
    "content",
    [
        frame("JPEG", comment=b"Jane Roe 4711"),
        frame("JPEG", exif=b"Exif\0\0Jane Roe 4711"),
        frame("JPEG2000", no_jp2=True, comment=b"Jane Roe 4711"),
    ],
    ids=["comment", "exif", "jpeg 2000"],
)
def test_a_comment_goes_and_the_picture_stays(content):
    assert b"Jane" in content
    value = encapsulate([content, content])
    clean = without_comments(value)
    assert b"Jane" not in clean and b"4711" not in clean and len(clean) == len(value)
    _, *fragments = generate_fragments(clean)  # the first is the table of offsets
    assert len(fragments) == 2
    for fragment in fragments:
        np.testing.assert_array_equal(decoded(fragment), decoded(content))


def test_what_has_no_comment_is_the_same_object():
    value = encapsulate([frame("JPEG")])
    assert without_comments(value) is value
    assert without_comments(b"") == b""


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_damaged_pixels_do_no_harm(cut):
    value = encapsulate([frame("JPEG", comment=b"Jane Roe 4711")])
    assert len(without_comments(value[:cut])) == cut
