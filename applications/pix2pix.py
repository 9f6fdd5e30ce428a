r"""Pix2Pix: one modality from another, learnt from registered pairs.

Isola, Zhu, Zhou, Efros: Image-to-Image Translation with Conditional Adversarial Networks, 2017.

    python applications/pix2pix.py --help
    python applications/pix2pix.py --data PATH --set modalities=t1,t2
    python applications/pix2pix.py --data PATH --set adversarial=false

The data are volumes of two modalities on one grid (patient07_t1.nii.gz, patient07_t2.nii.gz;
DICOM), folders of pictures of equal names, or pictures with both halves side by side
(`--set side_by_side=true`). `adversarial=false` trains the generator by the mean absolute
difference alone, as a baseline.

T2 from T1 of two brains, tested on a third, on two cores:

    python applications/pix2pix.py --data brains --set modalities=t1,t2 --split-file split.json \
        --set fit=pad --size 160,128 --set crop=128,128 --batch-size 4 --epochs 40 \
        --set select=last --set network.filters=32 --set network.levels=5 \
        --set discriminator.filters=32 --set l1_weight=200 --set ssim_weight=100

SSIM 0.789, PSNR 22.2 dB; by the mean difference alone 0.790 and 22.8 dB; 6 to 11 minutes.
"""

from kmed.cli import program

SETTINGS = {
    "loss": "cross_entropy",
    "l1_weight": 100.0,
    "learning_rate": 2e-4,
}

if __name__ == "__main__":
    program("pix2pix", settings=SETTINGS)
