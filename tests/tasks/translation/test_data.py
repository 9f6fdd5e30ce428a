import numpy as np
import pytest

from kmed.data import DataError
from kmed.tasks.translation import Settings
from kmed.tasks.translation.data import framed, is_paired, open_data, pairs, training_part


def settings(brains, **options):
    return Settings(data=str(brains), modalities=("t1", "t2"), **options)


def test_pairs_are_slices_at_one_place(brains):
    found = open_data(settings(brains))
    listed = pairs(found)
    assert is_paired(found) and len(listed) > 20
    for one, other in listed:
        assert (one.patient, one.slice) == (other.patient, other.slice)
        assert one.sample.id != other.sample.id


def test_pairs_are_taken_from_who_learns_without_them(brains):
    found = open_data(settings(brains, algorithm="cyclegan"))
    part = training_part(found, settings(brains, algorithm="cyclegan"))
    patients = [{item.patient for item in part.items[name]} for name in ("t1", "t2")]
    assert not patients[0] & patients[1] and len(patients[0] | patients[1]) == 6
    assert not is_paired(part)
    told = settings(brains, algorithm="cyclegan", paired=True)
    assert training_part(found, told) is found
    assert training_part(found, settings(brains)) is found


def test_framing_cuts_or_continues_around_the_centre():
    volume = np.arange(2 * 4 * 4, dtype="float32").reshape(2, 4, 4, 1)
    cut = framed(volume, (2, 2))
    np.testing.assert_array_equal(cut[..., 0], volume[:, 1:3, 1:3, 0])
    wide = framed(volume[0], (4, 6))
    np.testing.assert_array_equal(wide[:, 0], volume[0][:, 0])
    np.testing.assert_array_equal(wide[:, 1:5], volume[0])


def test_no_data():
    with pytest.raises(DataError, match="--data PATH"):
        open_data(Settings())
