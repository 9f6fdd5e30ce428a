r"""SegNet: a decoder that puts every value back where the encoder's pooling found it.

Badrinarayanan, Kendall, Cipolla: SegNet: A Deep Convolutional Encoder-Decoder Architecture for
Image Segmentation, IEEE Transactions on Pattern Analysis and Machine Intelligence 2017.

    python applications/segnet.py --help
    python applications/segnet.py --data PATH --preprocessor xray --labels background,lung
    python applications/segnet.py --data PATH --model segnet_basic

It takes images with masks (without `--data` it makes phantom studies), and gives the bundle
saved_models/NAME/VERSION, and in runs/NAME a report, curves and checkpoints. The loss is the
paper's, cross-entropy whose class weights are balanced by the median frequency (Adam in place of
its stochastic gradient descent). Those weights draw masks too large where overlap counts; there

    python applications/segnet.py --data PATH --preprocessor xray --set loss=dice_cross_entropy \
        --set network.filters=16,32,64,128,128

is better: on the lung masks of Montgomery and Shenzhen, two cores, Dice 0.950 after 8.5 minutes
and 9 epochs; with the paper's loss 0.937 after 8 epochs.
"""

from kmed.cli import program

SETTINGS = {
    "size": (256, 256),
    "preprocessor": "ct",
    "loss": "median_frequency",
    "batch_size": 8,
    "epochs": 50,
    "learning_rate": 1e-3,
    "augment": 1.0,
}

if __name__ == "__main__":
    program("segnet", settings=SETTINGS, models=True)
