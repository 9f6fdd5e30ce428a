r"""DCGAN: new images like those of a data set, of a class where one is asked for.

Radford, Metz, Chintala: Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks, 2016; Miyato, Koyama: cGANs with Projection Discriminator, 2018.

    python applications/dcgan.py --help
    python applications/dcgan.py --data PATH
    python applications/dcgan.py --data PATH --set loss=wasserstein --set gradient_penalty=10

The data are a folder of images, a folder with one folder for each class, a CSV table of files and
labels, or a MedMNIST .npz file.
"""

from kmed.cli import program

SETTINGS = {
    "learning_rate": 2e-4,
    "beta_1": 0.5,
    "batch_size": 64,
}

if __name__ == "__main__":
    program("dcgan", settings=SETTINGS)
