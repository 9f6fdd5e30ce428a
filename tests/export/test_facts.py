import json

import keras

import kmed
from kmed import preprocessors
from kmed.export import Bundle, versions
from kmed.export.facts import bundle_facts


def test_versions_are_those_that_run():
    assert versions()["kmed"] == kmed.__version__ and versions()["keras"] == keras.__version__


def test_facts_are_json_and_say_what_goes_in_and_out():
    image = keras.Input((16, 16, 1))
    network = keras.Model(image, keras.layers.Conv2D(2, 3, padding="same")(image))
    facts = bundle_facts(Bundle("tiny", preprocessors.xray(), network, metadata={"a": 1}), 3)
    assert json.loads(json.dumps(facts))["size"] == [16, 16]
    assert (facts["version"], facts["signature"], facts["metadata"]) == (3, "segment", {"a": 1})
    assert facts["input"]["channels"] == 1 and "labels" in facts["outputs"]
