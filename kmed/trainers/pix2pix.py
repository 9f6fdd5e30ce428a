"""Training of a network that translates images, on pairs of a source and a target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from kmed.losses.gradient_difference import GradientDifferenceLoss
from kmed.losses.ssim import SSIMLoss
from kmed.ops.differentiable_augmentation import check_policy, differentiable_augmentation
from kmed.trainers.adversarial import (
    global_mean,
    global_rows,
    penalties,
    place,
    right_share,
    update,
)
from kmed.trainers.adversarial_trainer import AdversarialTrainer
from kmed.trainers.translation_checks import check_pair, check_weights, checked_images

# Of a step's random numbers, what each is for.
_SHOWN_REAL, _SHOWN_FAKE, _SHOWN_TO_GENERATOR = range(3)


@keras.saving.register_keras_serializable("kmed")
class Pix2Pix(AdversarialTrainer):
    """Trains a generator from pairs, against a discriminator that sees source and image together.

    A step runs the generator once. First the discriminator learns to tell the pairs of real from
    those of fake images, in two batches and with half its loss; then the generator learns from
    the discriminator so changed, and from what its images should have been. No loss of the
    discriminator reaches the generator's weights, and none of the generator the discriminator's.
    Its batch normalisation is in training mode in all three of its calls, as the authors' is. N
    replicas compute, change and log what one would with the whole batch, batch normalisation
    aside (`kmed.distribute.synchronize_batch_norm`); masks of dropout depend on the replica.

    `fit` takes `(source, target)`, float32 images `(B, [D,] H, W, C)` in [-1, 1]. Logged are
    "generator_loss" and "discriminator_loss", what is minimised; "l1_loss", "ssim_loss" and
    "gradient_difference_loss", each without its weight, of those that have one; "real_accuracy"
    and "fake_accuracy", the shares of patches that the discriminator takes for what they are. Of
    validation data the same is logged, of the averaged generator in inference mode.

    Reference: Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial
    Networks", equation 4 and section 3.3; the order of the authors' code.

    Args:
        generator: from sources to images in [-1, 1] of the targets' size.
        discriminator: from `(B, [D,] H, W, source's + target's channels)` to logits; None trains
            the generator by the reconstruction alone, as a baseline.
        loss: name in `kmed.losses.adversarial.ADVERSARIAL`, or such an object. The Wasserstein
            loss needs a discriminator with spectral normalisation here.
        l1_weight: of the mean absolute difference.
        ssim_weight: of 1 - SSIM.
        gradient_difference_weight: of the difference of the images' gradients.
        average: decay of the generator's moving average, which is used and exported; None: none.
        augmentation: policy of `kmed.ops.differentiable_augmentation`, of what the discriminator
            sees: source and image are changed alike.
        seed: of the dropout and the augmentation.
        name: name of the model.

    Raises:
        ValueError: if the networks do not fit each other, or nothing is left to be learnt from.
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model | None = None,
        *,
        loss: Any = "cross_entropy",
        l1_weight: float = 100.0,
        ssim_weight: float = 0.0,
        gradient_difference_weight: float = 0.0,
        average: float | None = None,
        augmentation: Sequence[str] = (),
        seed: int = 0,
        name: str = "pix2pix",
    ):
        """Check that the networks fit each other."""
        weights = {
            "l1_weight": float(l1_weight),
            "ssim_weight": float(ssim_weight),
            "gradient_difference_weight": float(gradient_difference_weight),
        }
        check_weights(weights)
        check_policy(augmentation)
        check_pair(generator, discriminator)
        if discriminator is None and not any(weights.values()):
            raise ValueError(
                f"without a discriminator a weight must be above 0; received {weights}"
            )
        reconstruction = {n.replace("_weight", "_loss"): weight for n, weight in weights.items()}
        terms = {
            "l1_loss": _absolute_difference,
            "ssim_loss": SSIMLoss(data_range=2.0).call,  # `call` gives the values of the examples
            "gradient_difference_loss": GradientDifferenceLoss().call,
        }
        terms = {n: loss for n, loss in terms.items() if reconstruction[n] or n == "l1_loss"}
        judged = ("discriminator_loss", "real_accuracy", "fake_accuracy")
        judges = {} if discriminator is None else {"discriminator": discriminator}
        super().__init__(
            {"generator": generator},
            judges,
            loss=loss, logged=("generator_loss", *(judged if judges else ()), *terms),
            average=average, seed=seed, name=name,
        )  # fmt: skip
        self.reconstruction, self.terms = reconstruction, terms
        self.augmentation = tuple(augmentation)

    def call(self, source, training=False):
        """Translate images by the averaged generator, in inference mode."""
        return self.inference_generator("generator")(source, training=False)

    def translate(self, source):
        """Translate images `(B, [D,] H, W, C)` by the averaged generator, in inference mode."""
        return self(tf.convert_to_tensor(source))

    def train_step(self, data):
        """One step on a batch of pairs: first the discriminator's, then the generator's."""
        source, real = self._pair(data)
        where, step = place(real), self.begin()
        weights = self.generator_weights
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([weight.value for weight in weights])
            fake = tf.cast(self.generators["generator"](source, training=True), "float32")
            parts = self._train_discriminator(source, real, tf.stop_gradient(fake), where, step)
            logits = self._judge(source, fake, where, step, _SHOWN_TO_GENERATOR)
            parts |= self._generator_losses(real, fake, logits, where)
            scaled = self.generator_optimizer.scale_loss(parts["generator_loss"])
        update(self.generator_optimizer, tape, scaled, weights)
        self.end()
        return self.log(parts, where)

    def test_step(self, data):
        """The losses of a batch, of the averaged generator in inference mode."""
        source, real = self._pair(data)
        where = place(real)
        fake = tf.cast(self(source), "float32")
        logits = [self._judge(source, x, where, None, None) for x in (real, fake)]
        parts = self._discriminator_losses(*logits, where)
        return self.log(parts | self._generator_losses(real, fake, logits[1], where), where)

    def _train_discriminator(self, source, real, fake, where, step):
        """Its part of a step, on real and fake pairs in two batches."""
        if not self.discriminators:
            return {}
        weights = self.discriminator_weights
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([weight.value for weight in weights])
            on_fake = self._judge(source, fake, where, step, _SHOWN_FAKE)
            on_real = self._judge(source, real, where, step, _SHOWN_REAL)
            parts = self._discriminator_losses(on_real, on_fake, where)
            scaled = self.discriminator_optimizer.scale_loss(parts["discriminator_loss"])
        update(self.discriminator_optimizer, tape, scaled, weights)
        return parts

    def _judge(self, source, image, where, step, stream):
        """Logits of pairs; in a training step of pairs that are changed alike."""
        if not self.discriminators:
            return None
        if step is not None and self.augmentation:
            draws = global_rows((8,), where, step, seed=self.seed, stream=stream, draw="uniform")
            source, image = (
                differentiable_augmentation(x, draws, self.augmentation) for x in (source, image)
            )
        pair = tf.concat([source, image], axis=-1)
        logits = self.discriminators["discriminator"](pair, training=step is not None)
        return tf.cast(logits, "float32")

    def _discriminator_losses(self, on_real, on_fake, where):
        """This replica's part of what the discriminator minimises, half the sum, and its hits."""
        if not self.discriminators:
            return {}
        threshold = getattr(self.objective, "threshold", 0.0)
        losses = [
            global_mean(loss, where) for loss in self.objective.discriminator(on_real, on_fake)
        ]
        return {
            "discriminator_loss": tf.add_n(losses) / 2 + penalties(self.discriminators.values()),
            "real_accuracy": global_mean(right_share(on_real, True, threshold), where),
            "fake_accuracy": global_mean(right_share(on_fake, False, threshold), where),
        }

    def _generator_losses(self, real, fake, logits, where):
        """This replica's part of what the generator minimises, and of its terms."""
        found = {what: loss(real, fake) for what, loss in self.terms.items()}
        parts = {what: global_mean(values, where) for what, values in found.items()}
        terms = [self.reconstruction[what] * value for what, value in parts.items()]
        if logits is not None:
            terms.append(global_mean(self.objective.generator(logits), where))
        total = tf.add_n([*terms, penalties(self.generators.values())])
        return parts | {"generator_loss": total}

    def _pair(self, data):
        source, target, _ = keras.utils.unpack_x_y_sample_weight(data)
        network = self.generators["generator"]
        shapes = {"source": network.input_shape[1:], "target": network.output_shape[1:]}
        return checked_images(source, target, shapes)

    def get_config(self):
        """Arguments that rebuild the trainer, its networks among them."""
        save = keras.saving.serialize_keras_object
        weights = {name.replace("_loss", "_weight"): w for name, w in self.reconstruction.items()}
        return {
            "generator": save(self.generators["generator"]),
            "discriminator": save(self.discriminators.get("discriminator")),
            "loss": save(self.objective),
            **weights,
            "average": self.average,
            "augmentation": list(self.augmentation),
            "seed": self.seed,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Rebuild the trainer and its networks."""
        load = keras.saving.deserialize_keras_object
        names = ("generator", "discriminator", "loss")
        return cls(**config | {name: load(config[name], custom_objects) for name in names})


def _absolute_difference(real, fake):
    """The mean of each example."""
    return tf.reduce_mean(tf.abs(real - fake), axis=tuple(range(1, len(real.shape))))
