"""Draws detected boxes on DICOM images by softcopy presentation states."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from highdicom import (
    ModalityLUTTransformation,
    PresentationLUTTransformation,
    ReferencedImageSequence,
    pr,
)
from highdicom.color import CIELabColor
from PIL import ImageCms
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import generate_uid

import kmed
from kmed.data.atomic import replacing
from kmed.data.dicom.attributes import filled, numbers
from kmed.data.dicom.errors import UnsupportedPixels
from kmed.data.dicom.header import Header, read_dataset, read_header
from kmed.data.dicom.hushed import hushed
from kmed.data.dicom.pixels import frame_values, stored_values
from kmed.results.dicom.boxes import ImageBox, corners, require_boxes
from kmed.results.dicom.source_planes import source_of
from kmed.results.dicom.study import body_part, inherited, require_text, unnamed
from kmed.results.drawing import color

SERIES_NUMBER = 302

_ADVICE = "draw the boxes and write the picture with write_capture"


@hushed()
def write_presentation(
    path: str | os.PathLike,
    boxes: Iterable[ImageBox],
    *,
    labels: Sequence[str] | None = None,
    window: tuple[float, float] | None = None,
    series_number: int = SERIES_NUMBER,
    description: str = "Detections",
) -> list[Path]:
    """Writes presentation states that draw boxes, labels and scores on the source images.

    A state speaks of images of one size and one rescale, or of one multi-frame image; where the
    boxes lie on several such groups, further files NAME-2.dcm and so on are written. Grey images
    get a Grayscale Softcopy Presentation State with their window, colour images a Color one. Each
    class is a layer of its colour, the one of kmed's other pictures.

    Reference: DICOM PS3.3, A.33.1 and A.33.2 (Softcopy Presentation State IODs), C.10.5 (Graphic
    Annotation); PS3.4, N.2 (pixel transformation).

    Args:
        path: of the (first) file; missing folders are made, each file appears whole or not at all.
        boxes: at least one; all of one study.
        labels: names of all classes, for their colours; None: of those found, in their order.
        window: `(center, width)` to show grey images with; None: the images' own, else the range
            of their values.
        series_number: of the new series.
        description: Series Description and Content Description.

    Returns:
        The paths.

    Raises:
        ValueError: no boxes, or boxes that are none.
        UnsupportedPixels: images that no presentation state can show, saying what to do instead.
        DicomError: images that can't be read.
    """
    boxes = list(boxes)
    require_boxes(boxes)
    require_text(description=description)
    if not boxes or not all(isinstance(box, ImageBox) for box in boxes):
        raise ValueError("`boxes` must be one ImageBox or more; a volume's boxes go to write_sr")
    names = list(dict.fromkeys([*(labels or ()), *(box.label for box in boxes)]))
    images = {name: _Image(name) for name in dict.fromkeys(box.file for box in boxes)}
    groups: dict[tuple, list[ImageBox]] = {}
    for box in boxes:
        image = images[box.file]
        key = image.colour, image.size, image.inverse, image.rescale(box.frame)
        groups.setdefault((*key, box.file if image.several else None), []).append(box)
    path, series_uid, written = Path(path), generate_uid(prefix=None), []
    for number, group in enumerate(groups.values(), 1):
        try:
            state = _state(
                group, images, names, window, series_uid, series_number, number, description
            )
        except (KeyError, TypeError) as error:  # highdicom of classes it has no module table for
            name = group[0].file
            raise UnsupportedPixels(
                f"{name}: is of a SOP class that is retired or private, or has several frames "
                f"against its class ({images[name].header.sop_class_uid}); {_ADVICE}",
                files=[name],
            ) from error
        target = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
        with replacing(target) as unfinished:
            state.save_as(unfinished, enforce_file_format=True)
        written.append(target)
    return written


class _Image:
    """A source image as a presentation state needs it."""

    def __init__(self, name: str):
        self.source = source_of(name)
        self.header: Header = read_header(self.source)
        self.dataset = read_dataset(self.source)
        photometric = self.header.photometric
        self.colour = self.header.samples == 3
        self.inverse = photometric == "MONOCHROME1"
        self.size = (self.header.rows, self.header.columns)
        self.several = self.header.number_of_frames > 1
        wrong = None
        if not self.header.is_image:
            wrong = "is no image"
        elif not (self.colour or photometric in ("MONOCHROME1", "MONOCHROME2")):
            wrong = f"is {photometric[:20]}, for which there is no softcopy presentation state here"
        elif int(self.dataset.get("BitsAllocated") or 0) not in (8, 16):
            wrong = "has pixels of neither 8 nor 16 bits"
        elif filled(self.dataset, "ModalityLUTSequence") is not None:
            wrong = "has a table of modality values"
        if wrong:
            raise UnsupportedPixels(f"{name}: {wrong}; {_ADVICE}", files=[name])

    def rescale(self, frame: int) -> tuple[float, float, str] | None:
        """Slope, intercept and type of a frame."""
        number = min(frame, len(self.header.frames) - 1)
        found = self.header.frames[number] if self.header.frames else None
        if self.colour or found is None or found.slope is None or found.intercept is None:
            return None
        unit = "HU" if self.header.modality == "CT" else "US"
        return found.slope, found.intercept, unit

    def template(self) -> Dataset:
        """The image as highdicom reads it; functional groups say nothing, for we say all."""
        ds, header = unnamed(), self.header
        ds.SOPClassUID, ds.SOPInstanceUID = header.sop_class_uid, header.instance_uid
        ds.StudyInstanceUID, ds.SeriesInstanceUID = header.study_uid, header.series_uid
        ds.Modality, ds.Rows, ds.Columns = header.modality, header.rows, header.columns
        ds.SamplesPerPixel, ds.PhotometricInterpretation = header.samples, header.photometric
        ds.NumberOfFrames = header.number_of_frames
        ds.SharedFunctionalGroupsSequence = Items([Dataset()])
        ds.PerFrameFunctionalGroupsSequence = Items([])
        return ds

    def window(self, frame: int) -> tuple[float, float, str]:
        """Center, width and function: the image's first window, else the range of its values."""
        ds, group = self.dataset, Dataset()
        per_frame = filled(ds, "PerFrameFunctionalGroupsSequence") or []
        shared = filled(ds, "SharedFunctionalGroupsSequence") or []
        for item in (*per_frame[frame : frame + 1], *shared[:1]):
            found = filled(item, "FrameVOILUTSequence")
            if found is not None:
                group = found[0]
                break
        for item in (group, ds):
            center, width = numbers(item, "WindowCenter"), numbers(item, "WindowWidth")
            if center and width and width[0] >= 1:
                return center[0], width[0], str(filled(item, "VOILUTFunction") or "LINEAR")
        pixels = stored_values(self.source, frames=[frame])[0]
        values = frame_values(ds, pixels, self.header.frames[frame])
        low, high = float(values.min()), float(values.max())
        return (low + high) / 2, max(high - low, 1.0), "LINEAR_EXACT"


def _state(boxes, images, names, window, series_uid, series_number, number, description):
    files = list(dict.fromkeys(box.file for box in boxes))
    first = images[files[0]]
    templates = {name: images[name].template() for name in files}
    found = [name for name in names if any(box.label == name for box in boxes)]
    layers = {
        name: pr.GraphicLayer(
            layer_name=f"CLASS{names.index(name) + 1}",
            order=order,
            description=name,
            display_color=CIELabColor.from_rgb(*color(names.index(name) + 1)),
        )
        for order, name in enumerate(found, 1)
    }
    annotations = [
        _annotation(box, images[box.file], templates[box.file], layers[box.label]) for box in boxes
    ]
    settings = {
        "referenced_images": list(templates.values()),
        "series_instance_uid": series_uid,
        "series_number": series_number,
        "sop_instance_uid": generate_uid(prefix=None),
        "instance_number": number,
        "manufacturer": "kmed",
        "manufacturer_model_name": "kmed",
        "software_versions": kmed.__version__,
        "device_serial_number": "0",
        "content_label": "DETECTIONS",
        "content_description": description,
        "series_description": description,
        "graphic_layers": list(layers.values()),
        "graphic_annotations": annotations,
        "specific_character_set": "ISO_IR 192",
    }
    if first.colour:
        profile = filled(first.dataset, "ICCProfile") or _srgb()
        state = pr.ColorSoftcopyPresentationState(**settings, icc_profile=profile)
    else:
        rescale = first.rescale(boxes[0].frame)
        if rescale:
            slope, intercept, unit = rescale
            settings["modality_lut_transformation"] = ModalityLUTTransformation(
                rescale_slope=slope, rescale_intercept=intercept, rescale_type=unit
            )
        shape = "INVERSE" if first.inverse else "IDENTITY"
        state = pr.GrayscaleSoftcopyPresentationState(
            **settings,
            voi_lut_transformations=_windows(boxes, images, templates, window),
            presentation_lut_transformation=PresentationLUTTransformation(
                presentation_lut_shape=shape
            ),
        )
    state.update(inherited(first.dataset))
    state.update(body_part(first.dataset))  # highdicom leaves the series' out
    spacing = numbers(first.dataset, "PixelSpacing", 2)
    if spacing and min(spacing) > 0 and spacing[0] != spacing[1]:
        area = state.DisplayedAreaSelectionSequence[0]
        del area.PresentationPixelAspectRatio
        area.PresentationPixelSpacing = list(spacing)
    return state


def _windows(boxes, images, templates, window) -> list[pr.SoftcopyVOILUTTransformation]:
    """One window for all images, or one for each kind that refers to its images and frames."""
    by_window: dict[tuple, list[tuple[str, int]]] = {}
    for place in dict.fromkeys((box.file, box.frame) for box in boxes):
        chosen = (*window, "LINEAR") if window else images[place[0]].window(place[1])
        by_window.setdefault(chosen, []).append(place)
    if len(by_window) == 1:
        ((center, width, function),) = by_window
        return [
            pr.SoftcopyVOILUTTransformation(
                window_center=center, window_width=width, voi_lut_function=function
            )
        ]
    transformations = []
    for (center, width, function), places in by_window.items():
        frames = [frame + 1 for _, frame in places] if images[places[0][0]].several else None
        transformations.append(
            pr.SoftcopyVOILUTTransformation(
                window_center=center,
                window_width=width,
                voi_lut_function=function,
                referenced_images=ReferencedImageSequence(
                    [templates[name] for name in dict.fromkeys(name for name, _ in places)],
                    referenced_frame_number=frames,
                ),
            )
        )
    return transformations


def _annotation(box: ImageBox, image: _Image, template: Dataset, layer) -> pr.GraphicAnnotation:
    line = corners(box, image.header)
    text = box.label if box.score is None else f"{box.label} {box.score:.0%}"
    return pr.GraphicAnnotation(
        referenced_images=[template],
        graphic_layer=layer,
        referenced_frame_number=box.frame + 1 if image.several else None,
        graphic_objects=[
            pr.GraphicObject(graphic_type="POLYLINE", graphic_data=line, units="PIXEL")
        ],
        text_objects=[
            pr.TextObject(
                text_value=text,
                units="PIXEL",
                anchor_point=tuple(float(v) for v in line[0]),
                anchor_point_visible=False,
            )
        ],
    )


def _srgb() -> bytes:
    """Profile of sRGB as an input device, the kind that images have (PS3.3 C.11.15)."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:12] + b"scnr" + profile[16:]
