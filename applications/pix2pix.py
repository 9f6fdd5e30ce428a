r"""Pix2Pix: one modality from another, learnt from registered pairs.

Isola, Zhu, Zhou, Efros: Image-to-Image Translation with Conditional Adversarial Networks, 2017.

    python applications/pix2pix.py --help
    python applications/pix2pix.py --data PATH --set modalities=t1,t2
    python applications/pix2pix.py --data PATH --set adversarial=false

The data are volumes of two modalities on one grid (patient07_t1.nii.gz, patient07_t2.nii.gz;
DICOM), folders of pictures of equal names, or pictures with both halves side by side
(`--set side_by_side=true`). `adversarial=false` trains the generator by the mean absolute
difference alone, as a baseline.
"""

from kmed.cli import program

SETTINGS = {
    "loss": "cross_entropy",
    "l1_weight": 100.0,
    "learning_rate": 2e-4,
}

if __name__ == "__main__":
    program("pix2pix", settings=SETTINGS)
