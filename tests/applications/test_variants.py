import inspect

import pytest

from kmed.applications.variants import variant


def build(*, depth: int, width: int = 3, name: str = "net"):
    """Build something.

    Args:
        depth: how deep.
    """
    return depth, width, name


def test_a_variant_is_the_builder_with_fixed_arguments():
    net7 = variant(build, "net7", "The net of seven.", depth=7)
    assert net7() == (7, 3, "net7")
    assert net7(width=5, name="mine") == (7, 5, "mine")
    assert net7.__name__ == "net7" and net7.__module__ == build.__module__
    assert net7.__doc__.startswith("The net of seven.\n\nArgs:\n    depth: how deep.")


def test_its_signature_is_what_it_takes():
    parameters = inspect.signature(variant(build, "net7", "Seven.", depth=7)).parameters
    assert list(parameters) == ["width", "name"]
    assert parameters["name"].default == "net7"


@pytest.mark.parametrize("option", ["depth", "wide"])
def test_other_arguments_are_refused_by_name(option):
    with pytest.raises(TypeError, match=rf"net7\(\) takes no argument '{option}'.*width, name"):
        variant(build, "net7", "Seven.", depth=7)(**{option: 1})
