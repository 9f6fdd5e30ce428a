"""Warm-up requests, read back by TensorFlow Serving's own messages."""

import numpy as np
import pytest
import tensorflow as tf

from kmed.export.warmup import predict_request, write_warmup

apis = pytest.importorskip("tensorflow_serving.apis", reason="needs tensorflow-serving-api")


def test_requests_parse_as_prediction_logs(tmp_path):
    from tensorflow_serving.apis import prediction_log_pb2

    # 2 x 40 x 30 floats need a length of two bytes and more.
    image = np.random.default_rng(0).normal(size=(2, 40, 30, 1)).astype("float32")
    path = write_warmup(tmp_path, "model", {"image": image}, ("serving_default", "segment"))
    assert path == tmp_path / "assets.extra" / "tf_serving_warmup_requests"
    signatures = []
    for record in tf.data.TFRecordDataset(str(path)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        assert request.model_spec.name == "model"
        signatures.append(request.model_spec.signature_name)
        assert list(request.inputs) == ["image"]
        np.testing.assert_array_equal(tf.make_ndarray(request.inputs["image"]), image)
    assert signatures == ["serving_default", "segment"]


def test_request_is_byte_for_byte_the_official_one():
    from tensorflow_serving.apis import predict_pb2

    image = np.arange(12, dtype="int16").reshape(1, 3, 4, 1)
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "lungs", "segment"
    request.inputs["image"].CopyFrom(tf.make_tensor_proto(image))
    assert predict_request("lungs", "segment", {"image": image}) == request.SerializeToString()
