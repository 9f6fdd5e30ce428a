from __future__ import annotations

import keras
import numpy as np
import pytest

from kmed.weights.first_convolution import Normalization, fold_normalization
from kmed.weights.fit import assign_arrays

TABLE = Normalization((100.0, 110.0, 120.0), (50.0, 60.0, 70.0))


def network(*, channels=3, classes=2, bias=True, after="batch"):
    image = keras.Input((5, 5, channels))
    x = keras.layers.Conv2D(4, 3, use_bias=bias, name="conv")(image)
    if after == "batch":
        x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Dense(classes, name="logits")(x), name="net")


def arrays_of(model):
    random = np.random.default_rng(0)
    return {
        f"{layer.name}.{variable.name}": random.uniform(0.5, 1.5, variable.shape).astype("float32")
        for layer in model.layers
        for variable in layer.weights
    }


def assign(model, arrays, **options):
    return assign_arrays(
        model,
        arrays,
        lambda layer, variable: f"{layer}.{variable}",
        lambda layer, variable, array: array,
        source="the file",
        **options,
    )


def test_every_variable_gets_its_array():
    model = network()
    arrays = arrays_of(model)
    fit = assign(model, arrays)
    assert list(fit.loaded) == [name.replace(".", "/") for name in arrays]
    assert fit[1:] == ((), (), (), ())
    for variable, array in zip(model.weights, arrays.values(), strict=True):
        np.testing.assert_array_equal(variable, array)


def test_layers_of_a_model_within_the_model_are_found():
    inner = network()
    image = keras.Input((5, 5, 3))
    arrays = arrays_of(inner)
    assert len(assign(keras.Model(image, inner(image)), arrays).loaded) == len(arrays)


def test_half_precision_is_widened():
    model = network()
    assign(model, {name: array.astype("float16") for name, array in arrays_of(model).items()})
    assert {variable.dtype for variable in model.weights} == {"float32"}


def test_a_head_is_left_as_a_whole():
    model = network(classes=3)
    before = model.get_layer("logits").get_weights()
    arrays = arrays_of(network()) | {"logits.bias": np.ones(3, "float32")}
    with pytest.warns(UserWarning, match='"logits" stays as initialised') as warned:
        fit = assign(model, arrays)
    assert len(warned) == 1
    assert fit.mismatched == ("logits/kernel",)
    assert not any(name.startswith("logits") for name in fit.loaded)
    np.testing.assert_equal(model.get_layer("logits").get_weights(), before)


def test_which_layers_are_heads_is_the_builders_choice():
    arrays = arrays_of(network())
    with pytest.raises(ValueError, match=r"of another shape: logits/kernel \(4, 3\), there logits"):
        assign(network(classes=3), arrays, heads="score")


def test_what_does_not_fit_is_listed_and_nothing_is_changed():
    model = network()
    before = model.get_weights()
    arrays = arrays_of(model)
    del arrays["norm.gamma"]
    arrays["norm.beta"] = np.zeros(5)
    arrays["extra.kernel"] = arrays["fine.kernel"] = np.zeros(3)
    message = (
        'the file does not fit the network "net", which is unchanged; '
        "1 missing there: norm/gamma (there norm.gamma); "
        "1 left over there: extra.kernel; "
        "1 of another shape: norm/beta (4,), there norm.beta (5,)"
    )
    with pytest.raises(ValueError) as caught:
        assign(model, arrays, dispensable=r"fine\..*")
    assert str(caught.value) == message
    np.testing.assert_equal(model.get_weights(), before)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("channels", [3, 1])
def test_a_normalisation_goes_into_the_bias_or_the_batch_normalisation(bias, channels):
    model = network(bias=bias)
    arrays = arrays_of(model)
    assign(model, arrays)
    folded = network(bias=bias, channels=channels)
    if channels == 3:
        assign(folded, arrays, normalization=TABLE)
    else:
        with pytest.warns(UserWarning, match='"conv" was adapted from RGB to 1 channels'):
            assign(folded, arrays, normalization=TABLE)
    values = np.random.default_rng(1).uniform(0, 255, (2, 5, 5, channels))
    colours = np.broadcast_to(values, (2, 5, 5, 3))
    expected = model((colours - TABLE.mean) / TABLE.deviation, training=False)
    result = folded(values / 127.5 - 1, training=False)  # valid convolutions: no padding
    np.testing.assert_allclose(result, expected, rtol=1e-4)


def test_a_normalisation_that_nothing_can_take_over_is_refused():
    model = network(bias=False, after=None)
    with pytest.raises(ValueError, match='cannot go into "conv": it has no bias, and no batch'):
        assign(model, arrays_of(model), normalization=TABLE)
    grey = network(channels=1)
    with pytest.raises(ValueError, match=r'needs a first convolution over RGB; "conv" has .* 1, 4'):
        assign(grey, arrays_of(grey), normalization=TABLE)


def test_only_rgb_is_adapted():
    with pytest.raises(ValueError, match=r"conv/kernel \(3, 3, 3, 4\), there conv.kernel"):
        assign(network(), arrays_of(network(channels=2)))


def test_the_adapted_kernel_is_that_of_the_first_convolution_only():
    model = network()
    kernel = arrays_of(model)["conv.kernel"]
    folded, _ = fold_normalization(kernel, TABLE)
    assign(model, arrays_of(model), normalization=TABLE)
    np.testing.assert_array_equal(model.get_layer("conv").kernel, folded)
    np.testing.assert_array_equal(
        model.get_layer("logits").kernel, arrays_of(model)["logits.kernel"]
    )
