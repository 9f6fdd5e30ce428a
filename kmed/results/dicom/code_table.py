"""SNOMED CT codes of organs, tissues and abnormalities, as rows of value and meaning."""

from __future__ import annotations

#: SNOMED CT value and meaning; the meaning in small letters is the name of the class.
STRUCTURES = """
10200004 Liver; 78961009 Spleen; 64033007 Kidney; 15776009 Pancreas; 28231008 Gallbladder;
69695003 Stomach; 32849002 Esophagus; 38848004 Duodenum; 30315005 Small intestine;
71854001 Colon; 60184004 Sigmoid colon; 14742008 Large intestine; 34402009 Rectum;
23451007 Adrenal gland; 89837001 Bladder; 87953007 Ureter; 13648007 Urethra; 41216001 Prostate;
279706003 Peripheral zone of the prostate; 399384005 Transition zone of the prostate;
64739004 Seminal Vesicle; 40689003 Testis; 35039007 Uterus; 71252005 Cervix; 15497006 Ovary;
76784001 Vagina; 28273000 Bile duct; 69930009 Pancreatic duct; 83670000 Peritoneal cavity;
818981001 Abdomen; 816092008 Pelvis;
15825003 Aorta; 113262008 Thoracic aorta; 7832008 Abdominal aorta; 64131007 Inferior vena cava;
48345005 Superior vena cava; 32764006 Portal vein; 35819009 Splenic vein; 8993003 Hepatic vein;
76015000 Hepatic artery; 10293006 Iliac artery; 244411005 Iliac vein; 69105007 Carotid Artery;
36765005 Subclavian artery; 41801008 Coronary artery; 81040000 Pulmonary artery;
122972007 Pulmonary vein;
39607008 Lung; 45653009 Upper lobe of lung; 72481006 Middle lobe of right lung;
90572001 Lower lobe of lung; 44567001 Trachea; 955009 Bronchus; 3120008 Pleura;
72410000 Mediastinum; 5798000 Diaphragm; 9875009 Thymus; 816094009 Chest; 76752008 Breast;
80891009 Heart; 87878005 Left ventricle; 53085002 Right ventricle; 82471001 Left atrium;
73829009 Right atrium; 49848007 Left Ventricle Myocardium; 76848001 Pericardium;
12738006 Brain; 389081007 Gray Matter; 389080008 White Matter; 65216001 Cerebrospinal Fluid;
5366008 Hippocampus; 4958002 Amygdala; 42695009 Thalamus; 11000004 Caudate Nucleus;
89278009 Putamen; 14738005 Globus Pallidus; 427667007 Nucleus Accumbens; 36169008 Insula;
88442005 Corpus callosum; 66720007 Lateral Ventricle; 49841001 Third ventricle;
35918002 Fourth Ventricle; 113305005 Cerebellum; 119238007 Brain Stem; 56329008 Pituitary;
18234004 Optic nerve; 244453006 Optic chiasm; 2748008 Spinal cord;
89546000 Skull; 91609006 Mandible; 51299004 Clavicle; 79601000 Scapula; 85050009 Humerus;
113197003 Rib; 56873002 Sternum; 421060004 Spine; 51282000 Vertebra; 54735007 Sacrum;
29836001 Hip; 71341001 Femur; 2812003 Femoral head; 64234005 Patella; 12611008 Tibia;
87342007 Fibula;
81745001 Eye; 5665001 Retina; 81016008 Optic nerve head; 78076003 Lens; 69536005 Head;
21974007 Tongue; 38199008 Tooth;
4596009 Larynx; 69748006 Thyroid; 45289007 Parotid gland; 54019009 Submandibular gland;
4421005 Cell; 84640000 Nucleus;
14806007 C1 vertebra; 39976000 C2 vertebra; 113205007 C3 vertebra; 5329002 C4 vertebra;
36978003 C5 vertebra; 36054005 C6 vertebra; 87391001 C7 vertebra; 64864005 T1 vertebra;
53733008 T2 vertebra; 1626008 T3 vertebra; 73071006 T4 vertebra; 56401006 T5 vertebra;
45296009 T6 vertebra; 62487009 T7 vertebra; 11068009 T8 vertebra; 82687006 T9 vertebra;
7610001 T10 vertebra; 12989004 T11 vertebra; 23215003 T12 vertebra; 66794005 L1 vertebra;
14293000 L2 vertebra; 36470004 L3 vertebra; 11994002 L4 vertebra; 49668003 L5 vertebra;
"""
#: As `STRUCTURES`.
TISSUES = """
55603005 Fat; 91727004 Muscle; 3138006 Bone; 309312004 Cartilage; 74135004 Meniscus;
87784001 Soft tissue; 71966008 Subcutaneous tissue; 39937001 Skin; 59820001 Blood Vessel;
51114001 Artery; 29092000 Vein; 91728009 Nerve; 59441001 Lymph Node; 87612001 Blood;
85756007 Tissue;
"""
#: As `STRUCTURES`.
ABNORMALITIES = """
52988006 Lesion; 108369006 Neoplasm; 372087000 Neoplasm, Primary; 14799000 Neoplasm, Secondary;
4147007 Mass; 27925004 Nodule; 367643001 Cyst; 79654002 Edema; 6574001 Necrosis;
50960005 Hemorrhage; 75753009 Blood clot; 55584005 Embolus; 44132006 Abscess;
"""

#: (value, scheme, meaning) of abnormalities that SNOMED CT does not code, by name.
OTHER_SCHEMES = {
    "enhancing lesion": ("C113842", "NCIt", "Enhancing Lesion"),
    "non enhancing lesion": ("C81175", "NCIt", "Non-Enhancing Lesion"),
}

#: Other words of public label sets: MSD, BTCV, AMOS, CHAOS, ACDC, BraTS, KiTS, TotalSegmentator.
#: A name that is ambiguous outside its set, such as MSD's "Anterior", is not among them.
SAME = {
    "gall bladder": "gallbladder",
    "oesophagus": "esophagus",
    "small bowel": "small intestine",
    "adrenal": "adrenal gland",
    "urinary bladder": "bladder",
    "peripheral zone": "peripheral zone of the prostate",
    "transition zone": "transition zone of the prostate",
    "pz": "peripheral zone of the prostate",
    "tz": "transition zone of the prostate",
    "arota": "aorta",  # so spelled in AMOS' dataset.json
    "postcava": "inferior vena cava",
    "ivc": "inferior vena cava",
    "svc": "superior vena cava",
    "lung upper lobe": "upper lobe of lung",
    "lung lower lobe": "lower lobe of lung",
    "lung middle lobe right": "middle lobe of right lung",
    "lv": "left ventricle",
    "rv": "right ventricle",
    "la": "left atrium",
    "ra": "right atrium",
    "heart ventricle left": "left ventricle",
    "heart ventricle right": "right ventricle",
    "heart atrium left": "left atrium",
    "heart atrium right": "right atrium",
    "heart myocardium": "left ventricle myocardium",
    "left ventricular myocardium": "left ventricle myocardium",
    "grey matter": "gray matter",
    "csf": "cerebrospinal fluid",
    "caudate": "caudate nucleus",
    "pallidum": "globus pallidus",
    "accumbens": "nucleus accumbens",
    "brainstem": "brain stem",
    "thyroid gland": "thyroid",
    "optic disc": "optic nerve head",
    "cell nucleus": "nucleus",
    "body fat": "fat",
    "vessel": "blood vessel",
    "tumor": "neoplasm",
    "cancer": "neoplasm",
    "primary tumor": "neoplasm, primary",
    "metastasis": "neoplasm, secondary",
    "oedema": "edema",
    "haemorrhage": "hemorrhage",
    "peritumoral edema": "edema",
    "necrotic core": "necrosis",
    "enhancing tumor": "enhancing lesion",
    "non enhancing tumor": "non enhancing lesion",
}
