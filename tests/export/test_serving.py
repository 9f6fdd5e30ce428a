"""What TensorFlow Serving needs of a bundle, as far as it can be seen without the server."""

import json

import numpy as np
import pytest
import tensorflow as tf

CLEAN = """
import sys
import numpy as np
import tensorflow as tf


class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("keras", "kmed"):
            raise ModuleNotFoundError(f"{name} is not to be needed")


# tensorflow imports keras along with itself: take it away again.
for name in [name for name in sys.modules if name.split(".")[0] == "keras"]:
    del sys.modules[name]
sys.meta_path.insert(0, Refuse())

folder, image, result = sys.argv[1:]
loaded = tf.saved_model.load(folder)
outputs = loaded.signatures["segment"](image=tf.constant(np.load(image)))
np.savez(result, **{name: value.numpy() for name, value in outputs.items()})
"""


@pytest.mark.parametrize("case", ["image", "volume"])
def test_runs_where_only_tensorflow_is(case, request, tmp_path, run_isolated):
    folder = request.getfixturevalue("saved" if case == "image" else "saved_volume")
    bundle = request.getfixturevalue("bundle" if case == "image" else "volume_bundle")
    shape = (70, 41, 1) if case == "image" else (5, 19, 30, 1)
    image = np.random.default_rng(0).integers(0, 300, shape).astype("float32")
    np.save(tmp_path / "image.npy", image[None])
    run_isolated(CLEAN, folder, tmp_path / "image.npy", tmp_path / "result.npz")
    labels, probabilities = bundle.predict(image)
    with np.load(tmp_path / "result.npz") as result:
        np.testing.assert_array_equal(result["labels"][0], labels)
        np.testing.assert_allclose(result["probabilities"][0], probabilities, atol=1e-5)


@pytest.fixture(scope="module")
def signatures(saved):
    loaded = tf.saved_model.load(str(saved))
    yield loaded.signatures


def test_signatures_are_named(signatures):
    assert {"serving_default", "segment"} <= set(signatures)
    for name in ("serving_default", "segment"):
        inputs = signatures[name].structured_input_signature[1]
        outputs = signatures[name].structured_outputs
        assert {k: v.shape.as_list() for k, v in inputs.items()} == {"image": [None] * 3 + [1]}
        assert inputs["image"].dtype == tf.float32
        assert set(outputs) == {"labels", "probabilities"}
        assert outputs["labels"].dtype == tf.int32
        assert outputs["probabilities"].dtype == tf.float32


def test_rest_body_becomes_the_input_tensor(bundle, signatures):
    # TensorFlow Serving stacks "instances" along the batch, and answers one row an instance.
    images = np.random.default_rng(1).integers(-200, 300, (2, 20, 30, 1))
    body = json.loads(json.dumps({"signature_name": "segment", "instances": images.tolist()}))
    batch = tf.constant(body["instances"], tf.float32)
    assert (
        signatures[body["signature_name"]]
        .structured_input_signature[1]["image"]
        .shape.is_compatible_with(batch.shape)
    )
    outputs = signatures[body["signature_name"]](image=batch)
    rows = [{k: v[i].numpy().tolist() for k, v in outputs.items()} for i in range(2)]
    answer = json.loads(json.dumps({"predictions": rows}))
    for image, row in zip(images, answer["predictions"], strict=True):
        labels, probabilities = bundle.predict(image)
        np.testing.assert_array_equal(row["labels"], labels)
        np.testing.assert_allclose(row["probabilities"], probabilities, atol=1e-5)


def test_grpc_messages_carry_request_and_response(bundle, signatures):
    pytest.importorskip("tensorflow_serving.apis", reason="needs tensorflow-serving-api")
    from tensorflow_serving.apis import predict_pb2

    image = np.random.default_rng(2).integers(-200, 300, (20, 30, 1)).astype("float32")
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "liver", "segment"
    request.inputs["image"].CopyFrom(tf.make_tensor_proto(image[None]))
    request = predict_pb2.PredictRequest.FromString(request.SerializeToString())

    signature = signatures[request.model_spec.signature_name]
    outputs = signature(**{k: tf.constant(tf.make_ndarray(v)) for k, v in request.inputs.items()})
    response = predict_pb2.PredictResponse()
    for name, value in outputs.items():
        response.outputs[name].CopyFrom(tf.make_tensor_proto(value.numpy()))
    response = predict_pb2.PredictResponse.FromString(response.SerializeToString())
    labels = tf.make_ndarray(response.outputs["labels"])[0]
    np.testing.assert_array_equal(labels, bundle.predict(image)[0])


def test_warmup_records_run_through_the_signatures(saved, signatures):
    pytest.importorskip("tensorflow_serving.apis", reason="needs tensorflow-serving-api")
    from tensorflow_serving.apis import prediction_log_pb2

    records = tf.data.TFRecordDataset(str(saved / "assets.extra" / "tf_serving_warmup_requests"))
    names = []
    for record in records:
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        assert request.model_spec.name == "liver"
        names.append(request.model_spec.signature_name)
        image = tf.constant(tf.make_ndarray(request.inputs["image"]))
        assert signatures[names[-1]](image=image)["labels"].shape == (1, 32, 48)
    assert names == ["serving_default", "segment"]
