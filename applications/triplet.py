r"""Triplet loss: find the same place of the same patient in another modality.

Schroff, Kalenichenko, Philbin: FaceNet, 2015 (semi-hard triplets, squared distance, margin 0.2)
Hermans, Beyer, Leibe: In Defense of the Triplet Loss, 2017 (hard triplets)

    python applications/triplet.py --help
    python applications/triplet.py --data PATH --set modalities=t1,t2

The data are volumes of two modalities on one grid, named by patient and modality
(patient07_t1.nii.gz, patient07_t2.nii.gz; patient07/ct/*.dcm, patient07/t2/*.dcm), or pictures in
a folder for each modality (t1/KEY.png, t2/KEY.png). An anchor is of one modality, its positives and
negatives of the other; slices of one study within `near_mm` are neither.

T1 and T2 of `ms_lesion_mni` and `brain_mr_multicontrast`, two patients to train on and two unseen:

    python applications/triplet.py --data brains --set modalities=t1,t2 --set share=true \
        --set tolerance_mm=5 --set 'network.backbone_options={"width": 16}' --epochs 100 \
        --split-file split.json

On two cores: the first hit is within 5 mm in the right patient for 0.876 of the T1 slices and 0.822
of the T2 slices, searched among all slices of both patients; 2 minutes.

It gives the bundles saved_models/NAME-MODALITY/VERSION, and in runs/NAME a report, pictures,
curves and checkpoints. `kmed index build` and `kmed index search` then search an archive.
"""

from kmed.cli import program

SETTINGS = {
    "loss": "triplet_semihard",
    "loss_options": {"margin": 0.2, "distance_metric": "squared-L2"},
    "near_mm": 5.0,
    "flip": "none",
}

if __name__ == "__main__":
    program("triplet", settings=SETTINGS)
