r"""CycleGAN: one modality from another and back, learnt without pairs.

Zhu, Park, Isola, Efros: Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial
Networks, 2017.

    python applications/cyclegan.py --help
    python applications/cyclegan.py --data PATH --set modalities=ct,t2

The data are two folders of images, volumes or DICOM series, one for each modality; where they are
pairs, each patient of the training part gives one of its two.
"""

from kmed.cli import program

SETTINGS = {
    "loss": "least_squares",
    "cycle_weight": 10.0,
    "identity_weight": 0.5,
    "buffer": 50,
    "learning_rate": 2e-4,
}

if __name__ == "__main__":
    program("cyclegan", settings=SETTINGS)
