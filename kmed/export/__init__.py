"""From a trained network to an artefact that others run: Bundle, SavedModel, TFLite, ONNX."""

from kmed.export.agreement import AgreementError, check_agreement, quantization_loss
from kmed.export.bundle import Bundle
from kmed.export.card import write_card
from kmed.export.decoder import ClassificationDecoder, SegmentationDecoder
from kmed.export.detection_decoder import DetectionDecoder
from kmed.export.embedding_decoder import EmbeddingDecoder
from kmed.export.facts import versions
from kmed.export.fold import fold_batch_norm
from kmed.export.generator_bundle import GeneratorBundle, check_generator_agreement
from kmed.export.image_decoder import ImageDecoder
from kmed.export.latency import latency
from kmed.export.onnx import export_onnx, load_onnx
from kmed.export.openvino import export_openvino, load_openvino
from kmed.export.saved_model import export_saved_model
from kmed.export.text_agreement import check_text_agreement
from kmed.export.text_bundle import TextBundle
from kmed.export.tflite import (
    UnsupportedOperatorError,
    export_tflite,
    load_tflite,
    operators,
    run_tflite,
)
from kmed.export.versions import bundle_folder, version_folders
from kmed.export.warmup import predict_request, write_warmup

__all__ = [
    "AgreementError",
    "Bundle",
    "ClassificationDecoder",
    "DetectionDecoder",
    "EmbeddingDecoder",
    "GeneratorBundle",
    "ImageDecoder",
    "SegmentationDecoder",
    "TextBundle",
    "UnsupportedOperatorError",
    "bundle_folder",
    "check_agreement",
    "check_generator_agreement",
    "check_text_agreement",
    "export_onnx",
    "export_openvino",
    "export_saved_model",
    "export_tflite",
    "fold_batch_norm",
    "latency",
    "load_onnx",
    "load_openvino",
    "load_tflite",
    "operators",
    "predict_request",
    "quantization_loss",
    "run_tflite",
    "version_folders",
    "versions",
    "write_card",
    "write_warmup",
]
