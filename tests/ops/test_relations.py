import keras
import numpy as np
import pytest

from kmed.ops.relations import relations

NAN = float("nan")


def items(key, patient, study, label, position):
    ints = {"key": key, "patient": patient, "study": study, "label": label}
    sides = {name: np.array(values, np.int32) for name, values in ints.items()}
    return sides | {"position": np.array(position, np.float32)}


def both(*args, **options):
    found = relations(*args, **options)
    return [keras.ops.convert_to_numpy(one).astype(int).tolist() for one in found]


def test_slices_of_two_studies_by_hand():
    first = items([0, 1, 2], [0, 0, 1], [0, 0, 1], [-1, -1, -1], [0.0, 4.0, 0.0])
    second = items([0, 1, 2, 3], [0, 0, 1, 0], [0, 0, 1, 2], [-1] * 4, [0.0, 4.0, 0.0, NAN])
    positive, negative = both(first, second, near_mm=5.0)
    assert positive == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
    # Within 5 mm in one study is no counterexample; another study of the patient is one.
    assert negative == [[0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 0, 1]]
    assert both(first, second, near_mm=3.0)[1][0] == [0, 1, 1, 1]


def test_the_same_finding_of_the_same_patient_is_no_counterexample_unless_asked():
    first = items([0], [7], [0], [3], [NAN])
    second = items([1, 2, 3], [7, 7, 8], [1, 1, 2], [3, 4, 3], [NAN] * 3)
    assert both(first, second)[1] == [[0, 1, 1]]
    assert both(first, second, same_patient=True)[1] == [[1, 1, 1]]


def test_labels_match_where_they_are_known():
    first = items([0, 1], [0, 1], [0, 1], [2, -1], [NAN] * 2)
    second = items([5, 6], [2, 3], [2, 3], [2, -1], [NAN] * 2)
    positive, negative = both(first, second, by="label")
    assert positive == [[1, 0], [0, 0]]
    assert negative == [[0, 1], [1, 1]]


@pytest.mark.parametrize("options", [{"by": "name"}, {"near_mm": -1.0}, {"near_mm": NAN}])
def test_what_is_refused(options):
    with pytest.raises(ValueError, match="received"):
        relations({}, {}, **options)
