from __future__ import annotations

import keras
import numpy as np
import pytest
import safetensors.numpy

from kmed.weights import FILES, load

NAMES = {"block1_conv1": "features.0", "logits": "classifier"}


def network(classes=3, name="net"):
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", name="block1_conv1")(image)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Dense(classes, name="logits")(x), name=name)


@pytest.fixture
def arrays():
    random = np.random.default_rng(0)
    shapes = {
        "features.0.weight": (4, 3, 3, 3),
        "features.0.bias": (4,),
        "classifier.weight": (3, 4),
        "classifier.bias": (3,),
    }
    return {name: random.normal(size=shape).astype("float32") for name, shape in shapes.items()}


@pytest.fixture
def checkpoint(tmp_path, arrays):
    path = tmp_path / "x.safetensors"
    safetensors.numpy.save_file(arrays, path)
    return path


def test_none_does_nothing():
    model = network()
    before = model.get_weights()
    assert load(model, None, torchvision=NAMES, imagenet="vgg16") is None
    np.testing.assert_equal(model.get_weights(), before)


@pytest.mark.parametrize("ending", [".weights.h5", ".keras"])
def test_the_networks_own_files(ending, tmp_path):
    saved, model = network(), network()
    path = tmp_path / f"x{ending}"
    saved.save(path) if ending == ".keras" else saved.save_weights(path)
    assert load(model, path) is None
    np.testing.assert_equal(model.get_weights(), saved.get_weights())


@pytest.mark.parametrize("as_text", [True, False])
def test_a_checkpoint_of_torch(as_text, checkpoint, arrays):
    model = network()
    fit = load(model, str(checkpoint) if as_text else checkpoint, torchvision=NAMES)
    assert len(fit.loaded) == 4
    np.testing.assert_array_equal(
        model.layers[1].kernel, arrays["features.0.weight"].transpose(2, 3, 1, 0)
    )
    np.testing.assert_array_equal(model.layers[-1].bias, arrays["classifier.bias"])


@pytest.mark.parametrize("name", ["x.pth", "x.pt"])
def test_a_pickle_of_torch_is_read_as_such(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(ValueError, match=f"{name}: its pickle names `os.system`"):
        load(network(), path, torchvision=NAMES)


def test_a_file_of_keras_applications(tmp_path):
    import h5py

    path = tmp_path / "x.h5"
    kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 4)).astype("float32")
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"block1_conv1"]
        group = file.create_group("block1_conv1")
        group.attrs["weight_names"] = [b"block1_conv1_W_1:0", b"block1_conv1_b_1:0"]
        group["block1_conv1_W_1:0"], group["block1_conv1_b_1:0"] = kernel, np.zeros(4)
    model = network()
    with pytest.warns(UserWarning, match='"logits" stays as initialised'):
        fit = load(model, path, imagenet="vgg16")
    assert fit.loaded == ("block1_conv1/kernel", "block1_conv1/bias")
    # blue, green, red of 0 to 255 there; red, green, blue of -1 to 1 here
    np.testing.assert_allclose(model.layers[1].kernel, kernel[:, :, ::-1] * 127.5, rtol=1e-6)


def test_other_heads_are_the_builders_choice(checkpoint):
    with pytest.warns(UserWarning, match='"logits" stays as initialised'):
        load(network(classes=5), checkpoint, torchvision=NAMES, heads=r"logits|score")
    with pytest.raises(
        ValueError, match="x.safetensors does not fit .*of another shape: logits/kernel"
    ):
        load(network(classes=5), checkpoint, torchvision=NAMES, heads=r"score")


def test_what_cannot_be_loaded_is_refused(tmp_path, checkpoint):
    model = network()
    with pytest.raises(ValueError, match=f'"imagenet" is not to be had for "net".*{[*FILES][0]}'):
        load(model, "imagenet", torchvision=NAMES)
    with pytest.raises(ValueError, match='torchvision has no network of the structure of "net"'):
        load(model, checkpoint)
    (tmp_path / "x.h5").touch()
    with pytest.raises(ValueError, match="keras.applications has no network of the structure"):
        load(model, tmp_path / "x.h5", torchvision=NAMES)
    with pytest.raises(ValueError, match="`weights` must be None, .*received 'imagenett'"):
        load(model, "imagenett")
    for name in ("x.pth", "x.weights.h5", "x.keras", "x.safetensors", "missing.h5"):
        with pytest.raises(FileNotFoundError, match=f"no file of weights: .*{name}"):
            load(model, tmp_path / "missing" / name, torchvision=NAMES, imagenet="vgg16")
