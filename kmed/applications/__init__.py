"""Architectures: one function each, which returns a functional keras.Model."""

from kmed.applications.alexnet import alexnet
from kmed.applications.fcn import fcn8s, fcn16s, fcn32s, fcn_resnet50, fcn_resnet101
from kmed.applications.resnet import resnet18, resnet34, resnet50, resnet101, resnet152
from kmed.applications.segnet import segnet, segnet_basic
from kmed.applications.unet import unet, valid_input_size, valid_output_size
from kmed.applications.vgg import vgg11, vgg13, vgg16, vgg19

__all__ = [
    "alexnet",
    "fcn16s",
    "fcn32s",
    "fcn8s",
    "fcn_resnet101",
    "fcn_resnet50",
    "resnet101",
    "resnet152",
    "resnet18",
    "resnet34",
    "resnet50",
    "segnet",
    "segnet_basic",
    "unet",
    "valid_input_size",
    "valid_output_size",
    "vgg11",
    "vgg13",
    "vgg16",
    "vgg19",
]
