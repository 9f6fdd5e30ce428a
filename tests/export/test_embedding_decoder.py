import keras
import numpy as np

from kmed import preprocessors
from kmed.export import Bundle, check_agreement
from kmed.export.embedding_decoder import EmbeddingDecoder


def test_a_tower_answers_alike_in_every_format(tmp_path):
    image = keras.Input((8, 8, 1))
    x = keras.layers.Dense(4)(keras.layers.Flatten()(image))
    network = keras.Model(image, keras.ops.normalize(x), name="tower")
    bundle = Bundle(
        "tower", preprocessors.xray(), network, labels=(), decoder=EmbeddingDecoder(), size=(8, 8)
    )
    raw = np.random.default_rng(0).uniform(0, 255, (11, 9, 1))
    embedding = bundle.answer(raw)["embedding"]
    assert embedding.shape == (4,)
    np.testing.assert_allclose(np.linalg.norm(embedding), 1, rtol=1e-6)
    path = bundle.save(tmp_path)
    np.testing.assert_array_equal(Bundle.load(path).answer(raw)["embedding"], embedding)
    report = check_agreement(path, [raw])
    assert set(report) == {"saved_model", "tflite"}
    assert report["tflite"]["max_difference"] <= 1e-5
