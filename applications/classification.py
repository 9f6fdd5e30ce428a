r"""Classification: what a medical image shows, with calibrated probabilities and explanations.

`--model` chooses the network:

    alexnet               Krizhevsky, Sutskever, Hinton: ImageNet Classification with Deep
                          Convolutional Neural Networks, 2012
    vgg11 13 16 19        Simonyan, Zisserman: Very Deep Convolutional Networks, 2015
    resnet18 34 50 101 152  He, Zhang, Ren, Sun: Deep Residual Learning, 2016

    python applications/classification.py --help
    python applications/classification.py --data PATH
    python applications/classification.py --data PATH --model vgg16 --set network.weights=imagenet

The data are a folder with one folder for each class, a CSV table of files and labels (also of DICOM
series), or a MedMNIST .npz file. Small radiographs of MedMNIST, as in its paper:

    python applications/classification.py --data pneumoniamnist.npz --size 28,28 \
        --set network.stem=small --set sampling=balanced --batch-size 64 --epochs 8

PNEUMONIA
"""

from kmed.cli import program

SETTINGS = {
    "size": (224, 224),
    "preprocessor": "xray",
    "batch_size": 32,
    "epochs": 20,
    "learning_rate": 3e-4,
    "augment": 0.5,
    "flip": "horizontal",
    "calibrate": True,
    "threshold": "youden",
}

if __name__ == "__main__":
    program("resnet18", settings=SETTINGS, models=True)
