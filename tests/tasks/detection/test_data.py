import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from kmed import preprocessors
from kmed.data import DataError, Objects, Sample
from kmed.export import Bundle, DetectionDecoder
from kmed.tasks.detection import Settings, data


def test_boxes_lie_where_the_prepared_image_shows_them(shapes, tmp_path):
    # The objects are the brightest of their image, before the preparation and after it.
    for fit in ("resize", "letterbox"):
        settings = Settings(data=str(shapes), size=(64, 96), fit=fit, run_dir=str(tmp_path))
        found = data.open_data(settings)
        cases = data.cache(settings, preprocessors.xray()).cases(found.samples[1:5])
        for sample, case in zip(found.samples[1:5], cases, strict=True):
            assert case.source_shape == (60, 80) and case.shape == (64, 96)
            image, objects = case.image()[..., 0], data.objects_in_frame(sample, case, settings)
            outside = np.ones(image.shape, bool)
            for x1, y1, x2, y2 in objects.boxes:
                centre = image[int((y1 + y2) / 2), int((x1 + x2) / 2)]
                assert centre > 1.0
                outside[int(y1) - 1 : int(y2) + 2, int(x1) - 1 : int(x2) + 2] = False
            assert image[outside].mean() < 0.1 < centre


def test_what_the_network_sees_is_what_the_bundle_computes(shapes, tmp_path):
    from kmed.applications import ssd
    from kmed.codecs import SSDCodec

    settings = Settings(data=str(shapes), size=(64, 64), fit="letterbox", run_dir=str(tmp_path))
    prepare = preprocessors.xray()
    [sample] = data.open_data(settings).samples[1:2]
    [case] = data.cache(settings, prepare).cases([sample])
    small = {"backbone_options": {"width": 4}, "extra_filters": ()}
    network = ssd(input_shape=(64, 64, 1), classes=2, **small)
    decoder = DetectionDecoder(SSDCodec.of(network), (64, 64), letterbox=True)
    labels = ("disc", "square")
    bundle = Bundle("x", prepare, network, labels=labels, decoder=decoder, fit="letterbox")
    import keras

    seen = keras.Model(bundle.model.input, bundle.model.get_layer("fit").output)
    image = sample.read().image[None].astype("float32")
    assert np.allclose(seen(image)[0], case.image(), atol=1e-5)


def test_difficult_objects_are_left_out_of_training_and_marked_in_the_truth():
    objects = Objects(boxes=[[0, 0, 4, 4], [4, 4, 8, 8]], labels=[0, 1], difficult=[False, True])
    sample = Sample(id="a", patient="a", files=(), read=None, objects=objects)
    case = SimpleNamespace(source_shape=(10, 20))
    trained = data.objects_in_frame(sample, case, Settings(size=(20, 20)))
    assert trained.boxes.tolist() == [[0, 0, 4, 8]] and trained.labels.tolist() == [0]
    [truth] = data.truth([sample])
    assert truth["difficult"].tolist() == [False, True] and len(truth["boxes"]) == 2


def test_volumes_are_refused(tmp_path):
    settings = Settings(run_dir=str(tmp_path))
    (tmp_path / "v").write_bytes(b"x")
    arrays = SimpleNamespace(image=np.zeros((4, 8, 8, 1)), mask=None, spacing_mm=(1, 1, 1))
    volume = Sample(id="v", patient="v", files=(str(tmp_path / "v"),), read=lambda: arrays)
    with pytest.raises(DataError, match="3 spatial axes: detectors take pictures"):
        data.cache(settings, preprocessors.xray()).cases([volume])


def test_mended_boxes_are_told(tmp_path):
    Image.fromarray(np.zeros((20, 20), "uint8")).save(tmp_path / "a.png")
    box = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 1}
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": 20, "width": 20}],
        "annotations": [box | {"bbox": [15, 15, 10, 10]}],
        "categories": [{"id": 1, "name": "cell"}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    said = []
    settings = Settings(data=str(tmp_path), fix=True, run_dir=str(tmp_path / "run"))
    [sample] = data.open_data(settings, said.append).samples
    assert sample.objects.boxes.tolist() == [[15, 15, 20, 20]]
    assert "mended or left out 1 boxes" in said[0]
