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
