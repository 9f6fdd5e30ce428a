import numpy as np
import pytest

from kmed.data.sample import Objects, Sample


def test_objects_are_arrays_of_fixed_types():
    objects = Objects(boxes=[(0, 1, 2, 3.5)], labels=[1])
    assert objects.boxes.dtype == np.float32 and objects.boxes.tolist() == [[0, 1, 2, 3.5]]
    assert objects.labels.dtype == np.int32 and objects.labels.tolist() == [1]
    assert objects.difficult.dtype == bool and objects.difficult.tolist() == [False]
    assert len(objects) == 1


def test_a_negative_has_arrays_of_no_rows():
    objects = Objects(boxes=[], labels=[])
    assert (objects.boxes.shape, objects.labels.shape, len(objects)) == ((0, 4), (0,), 0)


def test_objects_cannot_be_changed_and_are_a_copy():
    boxes = np.zeros((1, 4), np.float32)
    objects = Objects(boxes=boxes, labels=[0])
    boxes[:] = 7
    assert not objects.boxes.any()
    with pytest.raises(ValueError, match="read-only"):
        objects.boxes[0] = 1


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"`boxes` must have shape \(2, 4\); received \(1, 4\)"):
        Objects(boxes=[(0, 0, 1, 1)], labels=[0, 1])
    with pytest.raises(ValueError, match=r"`difficult` must have shape \(1,\); received \(2,\)"):
        Objects(boxes=[(0, 0, 1, 1)], labels=[0], difficult=[True, False])
    with pytest.raises(ValueError, match=r"`boxes` must have shape \(0, 4\)"):
        Objects(boxes=np.zeros((2, 4)), labels=[])


def test_a_sample_with_objects_can_be_hashed_and_compared():
    objects = Objects(boxes=[(0, 0, 1, 1)] * 2, labels=[0, 0])
    one = Sample(id="a", patient="a", files=(), read=None, objects=objects)
    other = Sample(id="a", patient="a", files=(), read=None, objects=objects)
    assert one == other and len({one, other}) == 1
