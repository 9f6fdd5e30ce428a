r"""FCN: a classifier turned into a network that gives every pixel a class.

Long, Shelhamer, Darrell: Fully Convolutional Networks for Semantic Segmentation, CVPR 2015.

    python applications/fcn.py --help
    python applications/fcn.py --data PATH --preprocessor xray --labels background,lung
    python applications/fcn.py --data PATH --model fcn32s --set network.backbone=resnet18

`--model` is fcn32s, fcn16s, fcn8s or fcn_resnet50 (torchvision's, dilated). It takes images with
masks (without `--data` it makes phantom studies), and gives the bundle saved_models/NAME/VERSION,
and in runs/NAME a report, curves and checkpoints.

The paper's network, 134,489,759 parameters for 21 classes, starts from a classifier of ImageNet:
`--preprocessor rgb --set network.weights=imagenet` (for images of one channel the first
convolution is adapted). From scratch batch normalisation and fewer filters learn faster:

    python applications/fcn.py --data PATH --preprocessor xray --learning-rate 1e-3 \
        --set network.backbone_options='{"filters":[16,32,64,128,128],"normalization":"batch"}' \
        --set network.head_units=256,256

On the lung masks of Montgomery and Shenzhen, two cores: Dice 0.956 after 9.5 minutes and 16 epochs.
"""

from kmed.cli import program

SETTINGS = {
    "size": (256, 256),
    "preprocessor": "ct",
    "loss": "dice_cross_entropy",
    "batch_size": 8,
    "epochs": 50,
    "learning_rate": 1e-4,
    "augment": 1.0,
}

if __name__ == "__main__":
    program("fcn8s", settings=SETTINGS, models=True)
