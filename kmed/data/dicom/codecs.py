"""Which decoder is right for which transfer syntax, and one frame decoded by it."""

from __future__ import annotations

import zlib
from functools import cache

import numpy as np
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder
from pydicom.uid import UID

from kmed.data.dicom.codestream import checked
from kmed.data.dicom.errors import Damaged, DicomError, MissingCodec, TooLarge, UnsupportedPixels
from kmed.data.dicom.pixel_layout import PixelLayout

RLE = "1.2.840.10008.1.2.5"
DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"

_JPEG = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57")
_JPEG += ("1.2.840.10008.1.2.4.70",)
_JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
_JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
_HTJ2K = tuple(f"1.2.840.10008.1.2.4.{number}" for number in (201, 202, 203))

# pydicom's plugins in the order in which they are tried to be found, the first one there decodes.
# Pillow is not among them: it turns YCbCr with an Adobe marker to RGB unasked, and cuts colour of
# 16 bits to 8. GDCM's JPEG-LS can't do 6 and 7 bits.
_PLUGINS = {
    **dict.fromkeys(_JPEG, ("gdcm",)),
    **dict.fromkeys(_JPEG_LS, ("pyjpegls", "gdcm")),
    **dict.fromkeys(_JPEG_2000, ("pylibjpeg", "gdcm")),
    **dict.fromkeys(_HTJ2K, ("pylibjpeg",)),
    RLE: ("pylibjpeg", "pydicom"),
}
_INSTALL = {
    **dict.fromkeys(_JPEG, "python-gdcm"),
    **dict.fromkeys(_JPEG_LS, "pyjpegls"),
    **dict.fromkeys((*_JPEG_2000, *_HTJ2K), "pylibjpeg pylibjpeg-openjpeg"),
}


def plugin_for(syntax: str, name: str) -> str:
    """Chooses the decoder of a transfer syntax.

    Args:
        syntax: Transfer Syntax UID of compressed pixels.
        name: of the file, for messages.

    Returns:
        Name of pydicom's plugin.

    Raises:
        MissingCodec: nothing decodes it, or the package that does is not installed.
    """
    said = UID(syntax).name if UID(syntax).is_valid else "no valid UID"
    if syntax not in _PLUGINS:
        raise MissingCodec(
            f"{name}: nothing here decodes transfer syntax {syntax[:64]} ({said}); convert the "
            "file, for instance with dcmtk or gdcm, to Explicit VR Little Endian",
            files=[name],
        )
    available = get_decoder(UID(syntax)).available_plugins
    for plugin in _PLUGINS[syntax]:
        if plugin in available:
            if plugin == "gdcm":
                _quiet_gdcm()
            return plugin
    raise MissingCodec(
        f"{name}: to decode transfer syntax {said} run `pip install {_INSTALL[syntax]}`",
        files=[name],
    )


@cache
def _quiet_gdcm() -> None:
    """What GDCM prints of a broken file says the error that is raised."""
    import gdcm

    gdcm.Trace.WarningOff()
    gdcm.Trace.ErrorOff()


def decode_frame(frame: bytes, syntax: str, layout: PixelLayout) -> tuple[np.ndarray, str]:
    """Decodes one compressed frame.

    Args:
        frame: its fragments, joined.
        syntax: Transfer Syntax UID.
        layout: of the file.

    Returns:
        Values of `layout.shape`, and the Photometric Interpretation they have now: JPEG 2000 undoes
        its own colour transform, and a JPEG stream may say another one than the file.

    Raises:
        Damaged: the frame can't be decoded.
        MissingCodec: no decoder.
        TooLarge: it declares more pixels than it can hold.
        UnsupportedPixels: bits that its decoder does not know.
    """
    if syntax == DEFLATED_FRAMES:
        return _inflated(frame, layout), layout.photometric
    plugin = plugin_for(syntax, layout.name)
    if plugin == "gdcm" and (layout.allocated not in (8, 16) or layout.stored < 8):
        # GDCM would end the process.
        raise UnsupportedPixels(
            f"{layout.name}: {UID(syntax).name} with {layout.stored} of {layout.allocated} bits "
            "allocated; it can be decoded with 8 bits or more, of 8 or 16",
            files=[layout.name],
        )
    stream = checked(frame, syntax, layout)
    photometric = layout.photometric
    if stream is not None and stream.colour and layout.samples == 3:
        if stream.colour == "RGB":
            photometric = "RGB"
        elif not photometric.startswith("YBR"):
            photometric = "YBR_FULL"
    rows, columns = layout.rows, layout.columns
    packed = syntax == RLE and layout.allocated == 1
    if packed:
        # RLE packs bytes: eight pixels each.
        rows, columns = 1, -(-layout.frame_values // 8)
    try:
        if stream is not None and stream.precision == 12 and syntax == _JPEG[1]:
            return _extended(frame, layout), photometric
        values, found = get_decoder(UID(syntax)).as_array(
            encapsulate([frame]),
            index=0,
            raw=True,
            validate=False,
            decoding_plugin=plugin,
            pixel_keyword="PixelData",
            rows=rows,
            columns=columns,
            samples_per_pixel=layout.samples,
            number_of_frames=1,
            bits_allocated=max(layout.allocated, 8),
            bits_stored=8 if packed else layout.stored,
            pixel_representation=int(layout.signed),
            photometric_interpretation=photometric,
            planar_configuration=int(layout.planar),
            **({"correct_unused_bits": False} if syntax == RLE else {}),
        )
    except DicomError:
        raise
    except MemoryError as error:
        raise TooLarge(
            f"{layout.name}: not enough memory to decode a frame of {layout.rows} x "
            f"{layout.columns} x {layout.samples}",
            files=[layout.name],
        ) from error
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        # What a decoder raises differs from codec to codec, and no class of its own covers it: one
        # in Rust raises what is no Exception.
        raise Damaged(
            f"{layout.name}: {plugin} can't decode a frame of {UID(syntax).name} "
            f"({type(error).__name__}: {error}); copy the file again",
            files=[layout.name],
        ) from error
    if packed:
        return _packed(values.tobytes(), layout), photometric
    if values.shape != layout.shape:
        raise Damaged(
            f"{layout.name}: a frame decoded to {values.shape}, the file declares {layout.shape}",
            files=[layout.name],
        )
    return values, str(found["photometric_interpretation"])


def _extended(frame: bytes, layout: PixelLayout) -> np.ndarray:
    """JPEG Extended with 12 bits: GDCM decodes it, pydicom's plugin does not ask GDCM to."""
    import gdcm

    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(frame)
    sequence = gdcm.SequenceOfFragments.New()
    sequence.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(sequence.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((layout.columns, layout.rows, 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation.GetPIType(layout.photometric)
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(_JPEG[1])))
    image.SetPixelFormat(gdcm.PixelFormat(layout.samples, 16, 12, 11, 0))
    values = np.frombuffer(image.GetBuffer().encode("utf-8", "surrogateescape"), "<u2")
    return values.reshape(layout.shape).astype(layout.dtype)


def _inflated(frame: bytes, layout: PixelLayout) -> np.ndarray:
    """Deflated Image Frame Compression: PS3.5, A.4.13; each frame is one deflated stream."""
    size = -(-layout.frame_values * layout.allocated // 8)
    try:
        data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(frame, size)
    except zlib.error as error:
        raise Damaged(
            f"{layout.name}: a deflated frame is broken ({error}); copy the file again",
            files=[layout.name],
        ) from error
    if len(data) < size:
        raise Damaged(
            f"{layout.name}: a deflated frame holds {len(data):,} bytes of {size:,}",
            files=[layout.name],
        )
    if layout.allocated == 1:
        return _packed(data, layout)
    shape = (layout.samples, layout.rows, layout.columns)
    values = np.frombuffer(data, layout.dtype.newbyteorder("<"))
    if layout.samples > 1 and layout.planar:
        return values.reshape(shape).transpose(1, 2, 0)
    return values.reshape(layout.shape)


def _packed(data: bytes, layout: PixelLayout) -> np.ndarray:
    """Single bits, the first pixel in the lowest bit."""
    values = np.frombuffer(data, np.uint8)
    bits = np.unpackbits(values, count=layout.frame_values, bitorder="little")
    return bits.reshape(layout.shape)
