from __future__ import annotations

import hashlib
from functools import partial

import h5py
import keras
import numpy as np
import pytest

from kmed.applications.resnet import resnet50, resnet101, resnet152
from kmed.applications.vgg import vgg16, vgg19
from kmed.preprocessors import rgb
from kmed.weights import load_imagenet, load_keras_applications
from kmed.weights.keras_applications import _URL, FILES

RESNETS = {"resnet50": resnet50, "resnet101": resnet101, "resnet152": resnet152}
COUNTS = {  # keras.io/api/applications, with the dense layers
    "resnet50": 25_636_712,
    "resnet101": 44_707_176,
    "resnet152": 60_419_944,
    "resnet50v2": 25_613_800,
}


def theirs(kind, **options):
    build = {
        "vgg16": keras.applications.VGG16,
        "vgg19": keras.applications.VGG19,
        "resnet50": keras.applications.ResNet50,
        "resnet101": keras.applications.ResNet101,
        "resnet152": keras.applications.ResNet152,
        "resnet50v2": keras.applications.ResNet50V2,
    }[kind]
    options = {"input_shape": (64, 64, 3), "classifier_activation": None} | options
    network = build(weights=None, **options)
    random = np.random.default_rng(0)
    for layer in network.layers:
        values = []
        for variable in layer.weights:
            shape = tuple(variable.shape)
            if isinstance(layer, keras.layers.BatchNormalization):
                values.append(random.uniform(0.5, 1.5, shape))
            else:
                deviation = (2 / np.prod(shape[:-1])) ** 0.5 if len(shape) > 1 else 0.1
                values.append(deviation * random.standard_normal(shape, "float32"))
        layer.set_weights(values)
    return network


def ours(kind, **options):
    options = {"input_shape": (64, 64, 3)} | options
    if kind.startswith("vgg"):
        if options.get("include_top", True):
            options["pooled_size"] = 2  # what Keras' network flattens at this size
        return {"vgg16": vgg16, "vgg19": vgg19}[kind](**options)
    version = "v2" if kind.endswith("v2") else "keras"
    return RESNETS[kind.removesuffix("v2")](version=version, **options)


def weights_of(network):
    return {layer.name: layer.get_weights() for layer in network.layers}


def relative_error(result, expected):
    return float(np.abs(np.subtract(result, expected)).max() / np.abs(expected).max())


def give_back(network, reference, kind):
    """Keras' network gets the weights of ours, which are first made others than before."""
    for layer in network.layers:
        if layer.weights:
            layer.set_weights([np.flip(value, -1) for value in layer.get_weights()])
            reference.get_layer(FILES[kind].names[layer.name]).set_weights(layer.get_weights())


@pytest.fixture(scope="module", autouse=True)
def zeros():
    """Random numbers for networks of full size take seconds, and every one is replaced."""

    def call(self, shape, dtype=None, **_):
        return keras.ops.zeros(shape, dtype)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.initializers.VarianceScaling, "__call__", call)
        yield


@pytest.fixture(scope="module")
def resnet(zeros):
    """Keras' ResNet-50 with its dense layer and some random weights."""
    return theirs("resnet50")


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype("float32")


@pytest.mark.parametrize("kind", ["vgg16", "vgg19", "resnet50", "resnet50v2"])
def test_gives_what_keras_gives_and_the_other_way_round(kind, image, resnet):
    reference = resnet if kind == "resnet50" else theirs(kind)
    network = ours(kind)
    assert network.count_params() == reference.count_params()
    assert kind.startswith("vgg") or network.count_params() == COUNTS[kind]
    fit = load_keras_applications(network, weights_of(reference), kind, as_trained=True)
    assert len(fit.loaded) == len(network.weights)
    assert fit[1:] == ((), (), (), ())
    x = keras.applications.vgg16.preprocess_input(image.copy()) / 100
    assert relative_error(network(x, training=False), reference(x, training=False)) < 1e-5

    give_back(network, reference, kind)
    assert relative_error(network(x, training=False), reference(x, training=False)) < 1e-5


@pytest.mark.parametrize("kind", ["resnet101", "resnet152"])
def test_deep_resnets_give_what_keras_gives(kind, image):
    reference = theirs(kind, include_top=False)
    network = ours(kind, include_top=False)
    top = 2048 * 1000 + 1000
    assert network.count_params() == reference.count_params() == COUNTS[kind] - top
    fit = load_keras_applications(network, weights_of(reference), kind, as_trained=True)
    assert len(fit.loaded) == len(network.weights)
    x = image / 100 - 1
    result = network(x, training=False)["P5"]
    assert relative_error(result, reference(x, training=False)) < 1e-5
    give_back(network, reference, kind)
    result = network(x, training=False)["P5"]
    assert relative_error(result, reference(x, training=False)) < 1e-5


def test_the_loaded_network_takes_what_our_preprocessor_gives(image):
    """The first convolution sees the same but at the border, with red, green and blue in order."""
    reference = theirs("vgg16", include_top=False)
    network = ours("vgg16", include_top=False)
    load_keras_applications(network, weights_of(reference), "vgg16")
    first = keras.Model(network.input, network.get_layer("block1_conv1").output)
    first_there = keras.Model(reference.input, reference.get_layer("block1_conv1").output)
    expected = np.array(first_there(keras.applications.vgg16.preprocess_input(image.copy())))
    result = keras.ops.relu(first(rgb()(image)))  # their layer has its activation within
    inside = np.s_[:, 1:-1, 1:-1]
    assert relative_error(result[inside], expected[inside]) < 1e-5
    assert relative_error(result, expected) > 1e-4


def test_the_same_for_the_padded_stem_of_the_resnet(image, resnet):
    network = ours("resnet50", include_top=False)
    fit = load_keras_applications(network, weights_of(resnet), "resnet50")
    assert set(fit.unexpected) == {"predictions/kernel", "predictions/bias"}
    first = keras.Model(network.input, network.get_layer("stem_norm").output)
    first_there = keras.Model(resnet.input, resnet.get_layer("conv1_bn").output)
    expected = np.array(first_there(keras.applications.resnet.preprocess_input(image.copy())))
    result = first(rgb()(image))
    inside = np.s_[:, 2:-2, 2:-2]  # a kernel of 7 and a stride of 2 reach 3 pixels over the border
    assert relative_error(result[inside], expected[inside]) < 1e-5


def test_version_two_was_trained_on_what_our_preprocessor_gives(image):
    theirs_input = keras.applications.resnet_v2.preprocess_input(image.copy())
    np.testing.assert_allclose(rgb()(image), theirs_input, atol=1e-6)
    assert FILES["resnet50v2"].normalization is None


def write_h5(path, weights, *, names=("w", "b", "c", "d"), root=None):
    """The format of Keras before version 3, in which its applications are published."""
    with h5py.File(path, "w") as file:
        group = file.create_group(root) if root else file
        group.attrs["layer_names"] = [name.encode() for name in weights]
        group.create_group("top_level_model_weights").attrs["weight_names"] = np.zeros(0)
        for layer, values in weights.items():
            keys = [f"{layer}/{names[i]}:0" for i in range(len(values))]
            group.create_group(layer).attrs["weight_names"] = [key.encode() for key in keys]
            for key, value in zip(keys, values, strict=True):
                group[layer][key] = value


@pytest.fixture
def small_weights():
    """Arrays of VGG16's shapes would take seconds: a narrow network, in Keras' layer names."""
    random = np.random.default_rng(0)
    names = FILES["vgg16"].names
    network = vgg16(**NARROW)
    return {
        names[layer.name]: [random.normal(size=value.shape) for value in layer.get_weights()]
        for layer in network.layers
        if layer.weights
    }


NARROW = {
    "input_shape": (32, 32, 3),
    "filters": (2, 3, 4, 5, 6),
    "dense_units": (7, 8),
    "pooled_size": 1,
    "classes": 3,
}


@pytest.mark.parametrize("root", [None, "model_weights"])
def test_the_published_format_is_read(root, tmp_path, small_weights):
    path = tmp_path / "x.h5"
    write_h5(path, small_weights | {"flatten": []}, root=root)
    network = vgg16(**NARROW)
    fit = load_keras_applications(network, path, "vgg16", as_trained=True)
    assert fit[1:] == ((), (), (), ())
    expected = [value for values in small_weights.values() for value in values]
    for variable, array in zip(network.weights, expected, strict=True):
        np.testing.assert_allclose(variable, array, rtol=1e-6)


@pytest.mark.parametrize("top", [True, False])
def test_imagenet_is_downloaded_with_its_hash(top, tmp_path, small_weights, monkeypatch):
    path, asked = tmp_path / "x.h5", []
    if not top:
        for name in ("fc1", "fc2", "predictions"):
            del small_weights[name]
    write_h5(path, small_weights)

    def get_file(name, url, cache_subdir, file_hash):
        asked.append((name, url, cache_subdir, file_hash))
        return str(path)

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    fit = load_imagenet(vgg16(**NARROW, include_top=top), "vgg16")
    assert len(fit.loaded) == (32 if top else 26)
    ((name, url, folder, md5),) = asked
    ending = ".h5" if top else "_notop.h5"
    assert name == "vgg16_weights_tf_dim_ordering_tf_kernels" + ending
    assert url == f"https://storage.googleapis.com/tensorflow/keras-applications/vgg16/{name}"
    assert (folder, md5) == ("models", FILES["vgg16"][1 if top else 2])


def test_addresses_and_hashes_are_those_of_keras(monkeypatch):
    """keras.applications itself is asked for its files, and stopped before it downloads."""

    class Asked(Exception):
        pass

    def stop(name, url, cache_subdir, file_hash):
        raise Asked(name, url, file_hash)

    monkeypatch.setattr(keras.src.utils.file_utils, "get_file", stop)
    monkeypatch.setattr(keras.utils, "get_file", stop)
    builds = {"vgg16": keras.applications.VGG16, "vgg19": keras.applications.VGG19}
    for kind, build in builds.items():
        with pytest.raises(Asked) as asked:
            build(weights="imagenet", include_top=False, input_shape=(64, 64, 3))
        with pytest.raises(ValueError) as wrapped:
            load_imagenet(ours(kind, include_top=False), kind)
        assert wrapped.value.__cause__.args == asked.value.args
    resnet = keras.src.applications.resnet
    assert resnet.BASE_WEIGHTS_PATH == f"{_URL}/resnet/"
    for kind, file in FILES.items():
        if file.folder == "resnet":
            assert (file.md5, file.md5_without_top) == resnet.WEIGHTS_HASHES[kind]


def test_without_a_network_the_message_says_what_to_do(monkeypatch):
    def get_file(*_, **__):
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    with pytest.raises(ValueError, match=r"downloaded: URL fetch .* get https://.*h5 \(MD5 6d6bba"):
        load_imagenet(vgg16(**NARROW, include_top=False), "vgg16")


def test_a_corrupt_download_is_not_loaded(tmp_path, monkeypatch, small_weights):
    """The file comes from a file:// address, through Keras' own check of the hash."""
    source = tmp_path / "vgg16" / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
    source.parent.mkdir()
    write_h5(source, small_weights)
    monkeypatch.setattr("kmed.weights.keras_applications._URL", tmp_path.as_uri())
    get_file = partial(keras.utils.get_file, cache_dir=tmp_path / "cache")
    monkeypatch.setattr(keras.utils, "get_file", get_file)
    network = vgg16(**NARROW, include_top=False)
    with pytest.raises(ValueError, match="could not be downloaded: Incomplete or corrupted file"):
        load_imagenet(network, "vgg16")
    md5 = hashlib.md5(source.read_bytes()).hexdigest()
    monkeypatch.setitem(FILES, "vgg16", FILES["vgg16"]._replace(md5_without_top=md5))
    assert len(load_imagenet(network, "vgg16").loaded) == 26


def test_other_classes_leave_the_head(small_weights):
    network = vgg16(**NARROW | {"classes": 5})
    small_weights["probs"] = small_weights.pop("predictions")  # as the ResNets' files call it
    with pytest.warns(UserWarning, match=r'"logits" stays .* \(8, 5\), there predictions/kernel'):
        fit = load_keras_applications(network, small_weights, "vgg16")
    assert fit.mismatched == ("logits/kernel", "logits/bias")


def test_one_channel_is_adapted(small_weights):
    network = vgg16(**NARROW | {"input_shape": (32, 32, 1)})
    colour = vgg16(**NARROW)
    load_keras_applications(colour, small_weights, "vgg16")
    with pytest.warns(UserWarning, match='"block1_conv1" was adapted from RGB to 1 channels'):
        load_keras_applications(network, small_weights, "vgg16")
    grey = np.random.default_rng(0).uniform(-1, 1, (1, 32, 32, 1))
    expected = colour(np.repeat(grey, 3, axis=-1), training=False)
    np.testing.assert_allclose(network(grey, training=False), expected, rtol=1e-3)


def test_a_dense_layer_there_may_be_a_convolution_here(small_weights):
    image = keras.Input((32, 32, 3))
    features = vgg16(**NARROW, include_top=False)
    x = keras.layers.Conv2D(7, 1, name="fc1")(features(image)["P5"])
    network = keras.Model(image, x)
    load_keras_applications(network, small_weights, "vgg16")
    np.testing.assert_allclose(
        np.ravel(network.get_layer("fc1").kernel), np.ravel(small_weights["fc1"][0]), rtol=1e-6
    )


def test_damage_and_other_files_are_told(tmp_path, small_weights):
    network, path = vgg16(**NARROW), tmp_path / "x.h5"
    with pytest.raises(FileNotFoundError, match="no file of weights: .*x.h5"):
        load_keras_applications(network, path, "vgg16")
    path.write_bytes(b"no HDF5")
    with pytest.raises(ValueError, match="x.h5 is unreadable"):
        load_keras_applications(network, path, "vgg16")
    with h5py.File(path, "w") as file:
        file["x"] = [1]
    with pytest.raises(ValueError, match="x.h5 is unreadable: it is not in the format of keras"):
        load_keras_applications(network, path, "vgg16")
    small_weights["block1_conv1"] *= 2
    small_weights["block1_conv1"].pop()
    with pytest.raises(ValueError, match='"block1_conv1" has 3 arrays, not 1, 2 or 4'):
        load_keras_applications(network, small_weights, "vgg16")
    with pytest.raises(ValueError, match="exist for vgg16, vgg19, resnet50, .*received 'vgg11'"):
        load_imagenet(network, "vgg11")
