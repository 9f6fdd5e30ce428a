import hashlib

import numpy as np

from kmed.data.digest import pixel_digest


def test_is_the_hash_of_shape_type_and_values():
    array = np.arange(6, dtype="<i2").reshape(2, 3)
    expected = hashlib.sha256(b"(2, 3) <i2" + array.tobytes()).hexdigest()
    assert pixel_digest(array) == expected
    assert pixel_digest(np.asfortranarray(array)) == expected
    assert pixel_digest(array.astype("<i4")) != expected
