r"""CycleGAN: one modality from another and back, learnt without pairs.

Zhu, Park, Isola, Efros: Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial
Networks, 2017.

    python applications/cyclegan.py --help
    python applications/cyclegan.py --data PATH --set modalities=ct,t2

The data are two folders of images, volumes or DICOM series, one for each modality; where they are
pairs, each patient of the training part gives one of its two.

T2 from CT, 80 phantoms at 64x64, on two cores:

    python applications/cyclegan.py --data phantoms --set modalities=ct,t2 --size 64,64 \
        --epochs 14 --batch-size 2 --set every_mm=10 --set identity_weight=0 \
        --set intensity.t2=0,2700 --set network.blocks=6 --set network.filters=32 \
        --set discriminator.filters=32 --set discriminator.layers=2 --set average=0.99

Mean error 203 of 2,700 after 12 minutes, which is far from enough: organs are made up. The paper
trains for 200 epochs on a graphics processor.
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
