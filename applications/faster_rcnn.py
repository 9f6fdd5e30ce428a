r"""Faster R-CNN: proposals, then a head that looks at each of them again.

Ren, He, Girshick, Sun: Faster R-CNN, 2015; Lin et al.: Feature Pyramid Networks, 2017

    python applications/faster_rcnn.py --help
    python applications/faster_rcnn.py --data PATH
    python applications/faster_rcnn.py --data PATH --set network.weights=fasterrcnn.pth

The data are Pascal VOC XML, COCO JSON, YOLO text files, a CSV table of boxes, or masks. Blood cells
of BCCD, from random weights on two cores:

    python applications/faster_rcnn.py --data bccd --name cells --preprocessor rgb @BCCD@

It gives the bundle saved_models/NAME/VERSION, and in runs/NAME a report, pictures, curves and
checkpoints.
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
