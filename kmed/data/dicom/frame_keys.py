"""What tells the frames of several volumes of one series apart: echo, time, b-value and others."""

from __future__ import annotations

from typing import Any, NamedTuple

from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from kmed.data.dicom.attributes import filled, numbers, plain, private_numbers

Keys = tuple[tuple[str, Any], ...]

# Of files of one frame. Coarse ones first: the last differ from slice to slice in many volumes.
_CLASSIC = (
    *("StackID", "EchoTime", "EchoNumbers", "InversionTime", "FlipAngle", "RepetitionTime"),
    *("TemporalPositionIndex", "TemporalPositionIdentifier", "DiffusionBValue"),
    *("DiffusionGradientOrientation", "ConvolutionKernel", "KVP", "FilterType"),
    *("NominalPercentageOfCardiacPhase", "FrameReferenceTime", "TriggerTime"),
    "AcquisitionNumber",
)
# Of functional groups: the macro's sequence, then attributes of its item.
_GROUPS = (
    ("FrameContentSequence", ("StackID", "TemporalPositionIndex")),
    ("MREchoSequence", ("EffectiveEchoTime",)),
    ("MRTimingAndRelatedParametersSequence", ("RepetitionTime", "FlipAngle")),
    ("MRModifierSequence", ("InversionTimes",)),
    ("MRDiffusionSequence", ("DiffusionBValue", "DiffusionDirectionality")),
    ("MRVelocityEncodingSequence", ("VelocityEncodingDirection",)),
    ("MRMetaboliteMapSequence", ("MetaboliteMapDescription",)),
    ("CardiacSynchronizationSequence", ("NominalPercentageOfCardiacPhase",)),
    ("CTReconstructionSequence", ("ConvolutionKernel", "ReconstructionAlgorithm")),
    ("CTXRayDetailsSequence", ("KVP", "FilterType")),
    ("CTAcquisitionTypeSequence", ("TubeAngle", "AcquisitionType")),
    ("SegmentIdentificationSequence", ("ReferencedSegmentNumber",)),
    ("CardiacSynchronizationSequence", ("NominalCardiacTriggerDelayTime",)),
    ("FrameContentSequence", ("FrameAcquisitionNumber",)),
)
_FRAME_TYPES = (
    *("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence"),
    *("XAXRFFrameCharacteristicsSequence", "ParametricMapFrameTypeSequence"),
)
# Dimensions that say where a frame lies; that is its position, not a volume of its own.
_PLACES = frozenset(
    (
        *("InStackPositionNumber", "ImagePositionPatient", "ImageOrientationPatient"),
        *("ImagePositionVolume", "SliceLocation", "ColumnPositionInTotalImagePixelMatrix"),
        *("RowPositionInTotalImagePixelMatrix", "XOffsetInSlideCoordinateSystem"),
        *("YOffsetInSlideCoordinateSystem", "ZOffsetInSlideCoordinateSystem"),
    )
)
_EMPTY = Dataset()  # one for all: making it takes longer than all else that is done with it


class Dimension(NamedTuple):
    """One dimension of a multi-frame file.

    Attributes:
        name: keyword of the attribute that it counts, "(gggg,eeee)" of a private one.
        pointer: tag of the attribute.
        group: tag of the functional group's sequence that holds it, or None.
        column: which of the Dimension Index Values is its own.
    """

    name: str
    pointer: BaseTag
    group: BaseTag | None
    column: int


def classic_keys(ds: Dataset) -> Keys:
    r"""Gives what tells a file of one frame from the others of its series.

    Besides DICOM's own attributes, Image Type from its third value on, and b-values and gradients
    in the private attributes where Siemens and GE store them.

    Args:
        ds: the data set of a file without functional groups.

    Returns:
        (name, value) in a fixed order, of the attributes that there are.

    Example:
        >>> ds = Dataset()
        >>> ds.EchoTime, ds.ImageType = 4.6, ["ORIGINAL", "PRIMARY", "M", "ND"]
        >>> classic_keys(ds)
        (('ImageType', 'M\\ND'), ('EchoTime', 4.6))
    """
    found = {} if (kind := _further_type(ds, "ImageType")) is None else {"ImageType": kind}
    found |= {name: plain(value) for name in _CLASSIC if (value := filled(ds, name)) is not None}
    if "DiffusionBValue" not in found and (b_value := _private_b_value(ds)) is not None:
        found["DiffusionBValue"] = b_value
        gradient = private_numbers(ds, 0x0019, "SIEMENS MR HEADER", 0x0E, 3)
        if gradient is not None:
            found["DiffusionGradientOrientation"] = gradient
    order = ("ImageType", *_CLASSIC)
    return tuple((name, found[name]) for name in order if name in found)


def dimensions_of(ds: Dataset) -> tuple[Dimension, ...]:
    """Gives the dimensions of a multi-frame file that tell more than where a frame lies.

    Reference: DICOM PS3.3, C.7.6.17 (Multi-frame Dimension Module).

    Args:
        ds: the data set of the file.

    Returns:
        One an item of Dimension Index Sequence.
    """
    dimensions = []
    for column, item in enumerate(filled(ds, "DimensionIndexSequence") or ()):
        pointer = filled(item, "DimensionIndexPointer")
        group = filled(item, "FunctionalGroupPointer")
        if not isinstance(pointer, int):
            continue
        pointer, group = Tag(pointer), Tag(group) if isinstance(group, int) else None
        name = keyword_for_tag(pointer) or str(pointer)
        if name not in _PLACES:
            dimensions.append(Dimension(name, pointer, group, column))
    return tuple(dimensions)


def macro(own: Dataset, shared: Dataset, sequence: str | BaseTag) -> Dataset:
    """Gives the item of a functional group: the frame's own, else the shared one, else empty.

    Args:
        own: the frame's item of Per-Frame Functional Groups Sequence.
        shared: the item of Shared Functional Groups Sequence.
        sequence: keyword or tag of the group's sequence.

    Returns:
        The item; it must not be changed.
    """
    for ds in (own, shared):
        items = filled(ds, sequence)
        if items is not None and _has_items(items):
            return items[0]
    return _EMPTY


def group_keys(own: Dataset, shared: Dataset, dimensions: tuple[Dimension, ...]) -> Keys:
    """Gives what tells a frame with functional groups from the others of its series.

    Args:
        own: the frame's item of Per-Frame Functional Groups Sequence.
        shared: the item of Shared Functional Groups Sequence.
        dimensions: from `dimensions_of`.

    Returns:
        (name, value): the dimensions with the values that their indices stand for, well-known
        attributes, then private dimensions with their index.
    """
    found: dict[str, Any] = {}
    content = macro(own, shared, "FrameContentSequence")
    indices = numbers(content, "DimensionIndexValues") or ()
    for dimension in dimensions:
        holder = content if dimension.group is None else macro(own, shared, dimension.group)
        value = None if dimension.pointer.is_private else filled(holder, dimension.pointer)
        if value is not None and not _has_items(value):
            found[dimension.name] = plain(value)
        elif dimension.column < len(indices):
            found[dimension.name] = int(indices[dimension.column])
    for sequence in _FRAME_TYPES:
        item = macro(own, shared, sequence)
        if (kind := _further_type(item, "FrameType")) is not None:
            found.setdefault("FrameType", kind)
        if (component := filled(item, "ComplexImageComponent")) is not None:
            found.setdefault("ComplexImageComponent", plain(component))
    for sequence, keywords in _GROUPS:
        item = macro(own, shared, sequence)
        for keyword in keywords:
            if keyword not in found and (value := filled(item, keyword)) is not None:
                found[keyword] = plain(value)
        if sequence == "MRDiffusionSequence":
            direction = macro(item, item, "DiffusionGradientDirectionSequence")
            gradient = numbers(direction, "DiffusionGradientOrientation", 3)
            if gradient is not None:
                found["DiffusionGradientOrientation"] = gradient
    # Private dimensions last: a name that people know tells them more.
    return tuple(sorted(found.items(), key=lambda pair: pair[0].startswith("(")))


def _has_items(value: Any) -> bool:
    return hasattr(value, "__getitem__") and len(value) > 0 and isinstance(value[0], Dataset)


def _further_type(ds: Dataset, keyword: str) -> str | None:
    """Values 3 and later of Image Type or Frame Type: the first two are alike in a series."""
    value = filled(ds, keyword)
    if value is None or isinstance(value, str) or len(value) < 3:
        return None
    return "\\".join(str(part).strip() for part in value[2:])


def _private_b_value(ds: Dataset) -> float | None:
    siemens = private_numbers(ds, 0x0019, "SIEMENS MR HEADER", 0x0C, 1)
    if siemens is not None:
        return siemens[0]
    ge = private_numbers(ds, 0x0043, "GEMS_PARM_01", 0x39)
    # GE adds 1e9 to b-values of some protocols; 0 is also written where nothing diffuses.
    return ge[0] % 1e9 if ge and ge[0] else None
