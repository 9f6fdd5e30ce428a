"""Losses of generators and discriminators, as logits are judged: real, generated, or to deceive."""

from __future__ import annotations

from abc import ABC, abstractmethod

import keras
from keras import ops


class AdversarialLoss(ABC):
    """Losses of a discriminator and of a generator; subclasses write them for single logits.

    Values are means over an example's logits, of which a PatchGAN has many. Nothing is added over
    the two halves of a discriminator's loss or over the batch: whoever trains decides that.

    Attributes:
        threshold: a logit above it calls its image real.
    """

    threshold = 0.0

    def generator(self, fake):
        """Give the loss of the generator.

        Args:
            fake: logits of generated images, `(B, ...)`, through which gradients reach it.

        Returns:
            Float32 `(B,)`.
        """
        return _mean(self.deceive(ops.cast(fake, "float32")))

    def discriminator(self, real, fake):
        """Give both halves of the loss of the discriminator.

        Args:
            real: logits of real images, `(A, ...)`.
            fake: logits of generated images, `(B, ...)`, which need not be as many.

        Returns:
            Float32 `(A,)` and `(B,)`.
        """
        real, fake = ops.cast(real, "float32"), ops.cast(fake, "float32")
        return _mean(self.real(real)), _mean(self.fake(fake))

    @abstractmethod
    def deceive(self, logits):
        """Returns of each logit of a generated image the loss of the generator."""

    @abstractmethod
    def real(self, logits):
        """Returns of each logit of a real image the loss of the discriminator."""

    @abstractmethod
    def fake(self, logits):
        """Returns of each logit of a generated image the loss of the discriminator."""

    def get_config(self) -> dict:
        """Returns the arguments that rebuild this loss."""
        return {}

    @classmethod
    def from_config(cls, config: dict) -> AdversarialLoss:
        """Rebuild a loss."""
        return cls(**config)


@keras.saving.register_keras_serializable("kmed")
class CrossEntropyGAN(AdversarialLoss):
    """Binary cross-entropy; the generator's is the one that does not saturate.

    The generator maximises the log of the probability that its images are real. To minimise the
    log of the opposite, as the two players' game has it, gives no gradient at the start.

    Reference:
        Goodfellow et al. 2014, "Generative Adversarial Nets", equation 1 and section 3.
        Salimans et al. 2016, "Improved Techniques for Training GANs", section 3.4.

    Args:
        label_smoothing: share by which the target of real images is below 1, in [0, 0.5). That
            of generated images stays 0, or it would draw the discriminator to where they are.

    Raises:
        ValueError: for a share outside of that.

    Example:
        >>> real, fake = CrossEntropyGAN().discriminator([[0.0]], [[0.0], [-100.0]])
        >>> [round(float(value), 4) for value in (*real, *fake)]  # log 2 where it cannot tell
        [0.6931, 0.6931, 0.0]
    """

    def __init__(self, label_smoothing: float = 0.0):
        """Takes the argument that the class describes."""
        if not 0 <= label_smoothing < 0.5:
            raise ValueError(f"`label_smoothing` must lie in [0, 0.5); received {label_smoothing}")
        self.label_smoothing = float(label_smoothing)

    def deceive(self, logits):
        """Returns minus the log of the probability of real."""
        return ops.softplus(-logits)

    def real(self, logits):
        """Returns the cross-entropy with the target 1 less the smoothing."""
        # softplus(x) is softplus(-x) + x.
        return ops.softplus(-logits) + self.label_smoothing * logits

    def fake(self, logits):
        """Returns the cross-entropy with the target 0."""
        return ops.softplus(logits)

    def get_config(self) -> dict:
        """Returns the arguments that rebuild this loss."""
        return {"label_smoothing": self.label_smoothing}


@keras.saving.register_keras_serializable("kmed")
class LeastSquaresGAN(AdversarialLoss):
    """Squared distance of the logits from 1 for real and from 0 for generated images.

    Without the paper's factor 1/2, as CycleGAN's authors compute it.

    Reference: Mao et al. 2017, "Least Squares Generative Adversarial Networks", equation 9.

    Example:
        >>> float(LeastSquaresGAN().generator([[3.0]])[0])
        4.0
    """

    threshold = 0.5

    def deceive(self, logits):
        """Returns the squared distance from 1."""
        return ops.square(logits - 1.0)

    def real(self, logits):
        """Returns the squared distance from 1."""
        return ops.square(logits - 1.0)

    def fake(self, logits):
        """Returns the squared distance from 0."""
        return ops.square(logits)


@keras.saving.register_keras_serializable("kmed")
class WassersteinGAN(AdversarialLoss):
    """Difference of a critic's means; the critic must be kept Lipschitz by a gradient penalty.

    A critic's 0 means nothing, so neither does the share of logits above `threshold`.

    Reference:
        Arjovsky, Chintala, Bottou 2017, "Wasserstein GAN", algorithm 1.
        Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", equation 3.

    Example:
        >>> float(WassersteinGAN().generator([[3.0]])[0])
        -3.0
    """

    def deceive(self, logits):
        """Returns minus the critic's value."""
        return -logits

    def real(self, logits):
        """Returns minus the critic's value."""
        return -logits

    def fake(self, logits):
        """Returns the critic's value."""
        return logits


@keras.saving.register_keras_serializable("kmed")
class HingeGAN(AdversarialLoss):
    """The margin of a support vector machine: what is judged rightly beyond 1 counts nothing.

    Reference:
        Lim and Ye 2017, "Geometric GAN", section 3.
        Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks",
        equations 16 and 17.

    Example:
        >>> real, fake = HingeGAN().discriminator([[2.0], [0.5]], [[0.5]])
        >>> real.numpy().tolist(), fake.numpy().tolist()
        ([0.0, 0.5], [1.5])
    """

    def deceive(self, logits):
        """Returns minus the logit."""
        return -logits

    def real(self, logits):
        """Returns how far the logit is below 1."""
        return ops.relu(1.0 - logits)

    def fake(self, logits):
        """Returns how far the logit is above -1."""
        return ops.relu(1.0 + logits)


ADVERSARIAL: dict[str, type[AdversarialLoss]] = {
    "cross_entropy": CrossEntropyGAN,
    "least_squares": LeastSquaresGAN,
    "wasserstein": WassersteinGAN,
    "hinge": HingeGAN,
}


def _mean(values):
    """The mean of each example's values, `(B,)`."""
    axes = tuple(range(1, len(values.shape)))
    return ops.mean(values, axis=axes) if axes else values
