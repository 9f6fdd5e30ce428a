import keras
import pytest

from kmed import distribute


def test_one_processor_needs_no_strategy():
    assert distribute.strategy().num_replicas_in_sync == 1
    assert not distribute.has_gpu()
    assert distribute.jit_compile() is False


def test_more_devices_than_there_are():
    with pytest.raises(ValueError, match=r"visible devices, 1 \(CPU\); received 3"):
        distribute.strategy(3)
    with pytest.raises(ValueError, match="received 0"):
        distribute.strategy(0)


def test_precision_is_put_back():
    with distribute.precision("mixed_bfloat16") as name:
        assert name == "mixed_bfloat16"
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == "float32"
    with distribute.precision("auto") as name:
        assert name == "float32"  # no tensor cores here
    with pytest.raises(ValueError, match="received 'half'"), distribute.precision("half"):
        pass


def test_batch_norm_is_synchronised_only_over_several_replicas():
    network = keras.Sequential([keras.Input((2,)), keras.layers.BatchNormalization()])
    distribute.synchronize_batch_norm(network, 2)
    assert network.layers[0].synchronized
    distribute.synchronize_batch_norm(network, 1)
    assert not network.layers[0].synchronized


def ten_steps(devices, path):
    """Train a small U-Net for ten steps on logical processors and write its weights."""
    import numpy as np
    import tensorflow as tf

    [processor] = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        processor, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    from kmed.applications import unet
    from kmed.tasks.segmentation.settings import Settings
    from kmed.tasks.segmentation.training import compile_network

    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    images = random.normal(size=(80, 16, 16, 1)).astype("float32")
    masks = (images[..., 0] > 0.5).astype("int32")
    strategy = distribute.strategy(devices)
    assert strategy.num_replicas_in_sync == devices
    with strategy.scope():
        network = unet(input_shape=(16, 16, 1), filters=(4, 8))
        distribute.synchronize_batch_norm(network, devices)
        compile_network(network, Settings(size=(16, 16)), 10, classes=2)
    data = tf.data.Dataset.from_tensor_slices((images, masks)).batch(8)
    history = network.fit(data, epochs=1, verbose=0, shuffle=False)
    np.savez(path, *network.get_weights(), **{k: v[0] for k, v in history.history.items()})


def test_two_replicas_train_as_one(run_isolated, tmp_path):
    import numpy as np

    for devices in (1, 2):
        run_isolated(ten_steps, devices, str(tmp_path / f"{devices}.npz"))
    one, two = (np.load(tmp_path / f"{devices}.npz") for devices in (1, 2))
    assert set(one) == set(two)
    for name in one:
        np.testing.assert_allclose(two[name], one[name], rtol=2e-4, atol=2e-5, err_msg=name)
