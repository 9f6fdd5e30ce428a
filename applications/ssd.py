r"""SSD: single shot detection with default boxes.

Liu, Anguelov, Erhan, Szegedy, Reed, Fu, Berg: SSD: Single Shot MultiBox Detector, 2016

    python applications/ssd.py --help
    python applications/ssd.py --data PATH
    python applications/ssd.py --data PATH --model ssd512 --size 512,512

`--model` chooses ssd300 or ssd512, the paper's networks on VGG16, or ssd, on any backbone. The
data are Pascal VOC XML, COCO JSON, YOLO text files, a CSV table of boxes, or masks. Blood cells of
BCCD, from random weights on two cores:

    python applications/ssd.py --data bccd --model ssd --name cells --size 240,320 --epochs 250 \
        --set fix=true --set flip=all --set 'network.backbone_options={"width": 24}' \
        --set 'network.extra_filters=[128]' --set 'codec.scales=[0.09,0.18,0.32,0.5,0.7]' \
        --set 'augmentation={"zoom_out": 1.5, "crop_probability": 0.7, "brightness": 12}'

It gives AP50 0.883 on the 72 test images (platelets 0.842, red cells 0.827, white cells 0.981)
after half an hour.

A training gives the bundle saved_models/NAME/VERSION, and in runs/NAME a report, pictures, curves
and checkpoints.
"""

from kmed.cli import program

SETTINGS = {
    "fit": "resize",
    "preprocessor": "rgb",
    "batch_size": 8,
    "epochs": 240,
    "learning_rate": 1e-3,
    "flip": "horizontal",
}

if __name__ == "__main__":
    program("ssd300", settings=SETTINGS, models=True)
