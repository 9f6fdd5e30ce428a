import pytest

from kmed.tasks.segmentation.settings import Settings


def test_fit_follows_the_rank():
    assert Settings().fit == "resize"
    assert Settings(size=(32, 32, 32)).fit == "patch"
    assert Settings(size=(32, 32, 32)).rank == 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": (8, 8, 8), "fit": "resize"}, "`fit`"),
        ({"loss": "hinge"}, "`loss`.*received 'hinge'"),
        ({"spacing_mm": (1.0, 1.0)}, "`spacing_mm`"),
        ({"batch_size": 0}, "`batch_size`.*received 0"),
    ],
)
def test_out_of_range(values, message):
    with pytest.raises(ValueError, match=message):
        Settings(**values)
