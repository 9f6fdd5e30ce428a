"""Architectures: one function each, which returns a functional keras.Model."""

from kmed.applications.alexnet import alexnet
from kmed.applications.cyclegan import cyclegan_generator
from kmed.applications.dcgan import dcgan_discriminator, dcgan_generator
from kmed.applications.embedding import embedding
from kmed.applications.faster_rcnn import faster_rcnn, faster_rcnn_vgg16
from kmed.applications.fcn import fcn8s, fcn16s, fcn32s, fcn_resnet50, fcn_resnet101
from kmed.applications.patchgan import patchgan
from kmed.applications.pix2pix import pix2pix_generator
from kmed.applications.resnet import resnet18, resnet34, resnet50, resnet101, resnet152
from kmed.applications.segnet import segnet, segnet_basic
from kmed.applications.ssd import ssd, ssd300, ssd512
from kmed.applications.text_tower import text_tower
from kmed.applications.unet import unet, valid_input_size, valid_output_size
from kmed.applications.vgg import vgg11, vgg13, vgg16, vgg19
from kmed.applications.yolov3 import yolov3, yolov3_spp, yolov3_tiny

__all__ = [
    "alexnet",
    "cyclegan_generator",
    "dcgan_discriminator",
    "dcgan_generator",
    "embedding",
    "faster_rcnn",
    "faster_rcnn_vgg16",
    "fcn16s",
    "fcn32s",
    "fcn8s",
    "fcn_resnet101",
    "fcn_resnet50",
    "patchgan",
    "pix2pix_generator",
    "resnet101",
    "resnet152",
    "resnet18",
    "resnet34",
    "resnet50",
    "segnet",
    "segnet_basic",
    "ssd",
    "ssd300",
    "ssd512",
    "text_tower",
    "unet",
    "valid_input_size",
    "valid_output_size",
    "vgg11",
    "vgg13",
    "vgg16",
    "vgg19",
    "yolov3",
    "yolov3_spp",
    "yolov3_tiny",
]
