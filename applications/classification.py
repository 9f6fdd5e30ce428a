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
series), or a MedMNIST .npz file. Small radiographs of PneumoniaMNIST, as in the MedMNIST paper:

    python applications/classification.py --data pneumoniamnist.npz --size 28,28 --epochs 12 \
        --batch-size 64 --learning-rate 1e-3 --set network.stem=small --set sampling=balanced \
        --set label_smoothing=0.1 --set weight_decay=0.01 --set augment=1.0 --set duplicates=drop

On two cores: area under the ROC curve 0.968, accuracy 0.903 on the official test images (means of
three seeds; AlexNet at 64x64 0.966 and 0.909, VGG16 at 32x32 0.968 and 0.912), some six minutes
each. It gives the bundle saved_models/NAME/VERSION, and in runs/NAME a report, curves and
checkpoints.
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
