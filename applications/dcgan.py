r"""DCGAN: new images like those of a data set, of a class where one is asked for.

Radford, Metz, Chintala: Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks, 2016; Miyato, Koyama: cGANs with Projection Discriminator, 2018.

    python applications/dcgan.py --help
    python applications/dcgan.py --data PATH
    python applications/dcgan.py --data PATH --set loss=wasserstein --set gradient_penalty=10

The data are a folder of images, a folder with one folder for each class, a CSV table of files and
labels, or a MedMNIST .npz file.

MedNIST at 32x32, 2,100 images of six classes, judged by a classifier of them:

    python applications/dcgan.py --data mednist --size 32,32 --epochs 120 \
        --set network.filters=32 --set discriminator.filters=32 --set average=0.99 \
        --set constant=0.5 --set extractor=saved_models/classifier

On two cores: Fréchet distance 2.0 to test images in that classifier's features, 0.997 of the
images of the asked class; 10 to 17 minutes.
"""

from kmed.cli import program

SETTINGS = {
    "learning_rate": 2e-4,
    "beta_1": 0.5,
    "batch_size": 64,
}

if __name__ == "__main__":
    program("dcgan", settings=SETTINGS)
