r"""YOLOv3: detection in one pass, with anchors of the user's own boxes.

Redmon, Farhadi: YOLOv3: An Incremental Improvement, 2018

    python applications/yolov3.py --help
    python applications/yolov3.py --data PATH
    python applications/yolov3.py --data PATH --model yolov3_tiny
    python applications/yolov3.py --data PATH --set network.weights=darknet53.weights

`--model` chooses yolov3, yolov3_spp or yolov3_tiny. The data are Pascal VOC XML, COCO JSON, YOLO
text files, a CSV table of boxes, or masks; `kmed anchors PATH` shows the anchors that fit them.
Blood cells of BCCD, from random weights on two cores:

    python applications/yolov3.py --data bccd --name cells --size 256,320 --epochs 170 \
        --set fix=true --set flip=all --set network.backbone=resnet18 --set network.width=8 \
        --set 'network.backbone_options={"width": 24}' --set network.objectness_prior=0.01 \
        --set 'augmentation={"jitter": 0.2, "scale": [0.7, 1.4]}'

It gives AP50 0.905 on the 72 test images (platelets 0.879, red cells 0.853, white cells 0.981)
after 25 minutes.

A training gives the bundle saved_models/NAME/VERSION, and in runs/NAME a report, pictures, curves
and checkpoints.
"""

from kmed.cli import program

SETTINGS = {
    "size": (416, 416),
    "fit": "letterbox",
    "preprocessor": "rgb",
    "batch_size": 8,
    "epochs": 240,
    "learning_rate": 1e-3,
    "flip": "horizontal",
    "anchors": "data",
}

if __name__ == "__main__":
    program("yolov3", settings=SETTINGS, models=True)
