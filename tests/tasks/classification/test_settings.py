import pytest

from kmed.tasks.classification.settings import Settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "binray"}, "`kind`.*received 'binray'"),
        ({"kind": "ordinal", "mixup": 0.2}, "`mixup`"),
        ({"sampling": "even"}, "`sampling`"),
        ({"label_smoothing": 1.0}, "`label_smoothing`"),
        ({"threshold": "best"}, "`threshold`"),
        ({"split": "mine"}, "`split`"),
        ({"batch_size": 0}, "`batch_size`"),
    ],
)
def test_out_of_range(values, message):
    with pytest.raises(ValueError, match=message):
        Settings(**values)


def test_lists_become_tuples():
    assert Settings(size=[28, 28], labels=["a", "b"]).size == (28, 28)
