r"""Contrastive loss: find the image that a sentence describes, and back; or another modality's.

Hadsell, Chopra, LeCun: Dimensionality Reduction by Learning an Invariant Mapping, 2006
(`--set loss=contrastive`)
Radford et al.: Learning Transferable Visual Models From Natural Language Supervision, 2021
(`infonce`, learnable temperature)

    python applications/contrastive.py --help
    python applications/contrastive.py --data reports.csv
    python applications/contrastive.py --data PATH --set modalities=ct,t2

The data are a CSV or JSON lines file of images and captions, or images of two modalities as
`applications/triplet.py` takes them.

MEASURED

It gives the bundles saved_models/NAME-MODALITY/VERSION, and in runs/NAME a report, pictures,
curves and checkpoints. `kmed index build` and `kmed index search` then search an archive.
"""

from kmed.cli import program

SETTINGS = {
    "loss": "infonce",
    "near_mm": 5.0,
    "flip": "none",
}

if __name__ == "__main__":
    program("contrastive", settings=SETTINGS)
