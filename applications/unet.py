r"""U-Net: every pixel of a medical image gets a class.

Ronneberger, Fischer, Brox: U-Net: Convolutional Networks for Biomedical Image Segmentation, MICCAI
2015. In 3D (`--size depth,height,width`): Çiçek et al.: 3D U-Net, MICCAI 2016.

    python applications/unet.py --help
    python applications/unet.py
    python applications/unet.py --data PATH --preprocessor xray --labels background,lung

It takes images with masks (without `--data` it makes phantom studies), and gives the bundle
saved_models/NAME/VERSION, and in runs/NAME a report, curves and checkpoints. `kmed train unet` is
the same flow with the same settings.

The paper's own network, 31,030,658 parameters on mirrored tiles of 572 pixels, with its weighted
loss (Adam in place of its stochastic gradient descent):

    python applications/unet.py --size 572,572 --batch-size 1 --set fit=patch \
        --set network.padding=valid --set network.normalization=null \
        --set network.filters=64,128,256,512,1024 --set loss=border_weighted

On the lung masks of Montgomery and Shenzhen, two cores: Dice 0.957 after 7 minutes and 8 epochs.
"""

from kmed.cli import program

SETTINGS = {
    "name": "unet",
    "network": {
        "filters": (16, 32, 64, 128, 256),  # the paper's 64 to 1024, divided by four
    },
    "size": (256, 256),
    "preprocessor": "ct",
    "loss": "dice_cross_entropy",
    "batch_size": 8,
    "epochs": 50,
    "learning_rate": 1e-3,
    "augment": 1.0,
}

if __name__ == "__main__":
    program("unet", settings=SETTINGS)
