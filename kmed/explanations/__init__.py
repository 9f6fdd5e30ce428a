"""What a network looks at: Grad-CAM, its sanity check, and heat on the original pixels."""

from kmed.explanations.case import explain
from kmed.explanations.grad_cam import grad_cam
from kmed.explanations.sanity import randomized_similarity

__all__ = ["explain", "grad_cam", "randomized_similarity"]
