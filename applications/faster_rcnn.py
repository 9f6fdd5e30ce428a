r"""Faster R-CNN: proposals, then a head that looks at each of them again.

Ren, He, Girshick, Sun: Faster R-CNN, 2015; Lin et al.: Feature Pyramid Networks, 2017

    python applications/faster_rcnn.py --help
    python applications/faster_rcnn.py --data PATH
    python applications/faster_rcnn.py --data PATH --set network.weights=fasterrcnn.pth

The data are Pascal VOC XML, COCO JSON, YOLO text files, a CSV table of boxes, or masks. Blood cells
of BCCD, from random weights on two cores:

    python applications/faster_rcnn.py --data bccd --name cells --size 240,320 --epochs 60 \
        --batch-size 4 --learning-rate 1e-3 --set fit=resize --set fix=true --set flip=all \
        --set 'network={"backbone": "resnet18", "backbone_options": {"width": 16},
        "pyramid_channels": 64, "head_units": 128, "anchor_sizes": [20, 40, 64, 110, 160],
        "proposals_before": 300, "proposals": 150, "canonical_size": 112}' \
        --set 'loss={"proposals_before": 300, "proposals": 200, "rois": 64, "anchors": 128}' \
        --set 'augmentation={"zoom_out": 1.5, "crop": "ssd", "crop_probability": 0.5}'

It gives AP50 0.911 on the 72 test images (platelets 0.915, red cells 0.832, white cells 0.985)
after twelve minutes.

A training gives the bundle saved_models/NAME/VERSION, and in runs/NAME a report, pictures, curves
and checkpoints.
"""

from kmed.cli import program

SETTINGS = {
    "size": (512, 512),
    "fit": "letterbox",
    "preprocessor": "rgb",
    "batch_size": 2,
    "epochs": 60,
    "learning_rate": 3e-4,
    "flip": "horizontal",
}

if __name__ == "__main__":
    program("faster_rcnn", settings=SETTINGS)
