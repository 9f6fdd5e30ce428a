"""Training of two networks that translate between modalities, on images without pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from kmed.ops.differentiable_augmentation import check_policy, differentiable_augmentation
from kmed.trainers.adversarial import (
    Place,
    global_mean,
    global_rows,
    penalties,
    place,
    right_share,
    update,
)
from kmed.trainers.adversarial_trainer import AdversarialTrainer
from kmed.trainers.image_buffer import ImageBuffer
from kmed.trainers.replicas import gathered
from kmed.trainers.translation_checks import (
    check_cycle,
    check_weights,
    checked_images,
    checked_modalities,
    named_networks,
)

# Of a step's random numbers, what each is for; the second modality's follow the first's.
_BUFFER, _SHOWN_REAL, _SHOWN_FAKE, _SHOWN_TO_GENERATORS = range(0, 8, 2)

Networks = Mapping[str, keras.Model] | Sequence[keras.Model]


@keras.saving.register_keras_serializable("kmed")
class CycleGAN(AdversarialTrainer):
    """Trains a generator each way between two modalities, and a discriminator of each.

    First a step changes both generators: their images should pass for real, should lead back to
    what they were made of, and an image that is of the target's modality already should stay as
    it is. Then it changes both discriminators with half their loss, on real images and on what
    buffers of earlier fakes give for the fakes made before the generators changed. Neither's loss
    reaches the other's weights. N replicas compute, change and log what one would with the whole
    batch, batch normalisation aside (`kmed.distribute.synchronize_batch_norm`), and hold the same
    buffers, of the fakes of all.

    `fit` takes `(first, second)`, float32 images `(B, [D,] H, W, C)` in [-1, 1] of each modality,
    as many of each. Logged are "generator_loss" and "discriminator_loss", what is minimised, the
    sums of both ways; "cycle_loss" and "identity_loss", mean absolute differences without their
    weights, the means of both ways; "real_accuracy" and "fake_accuracy", the shares of patches
    that the discriminators take for what they are. Of validation data the same is logged, of the
    averaged generators in inference mode and without buffers.

    Reference: Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent
    Adversarial Networks", equation 3 and sections 4 and 5.2; the order of the authors' code.

    Args:
        generators: from the first to the second modality and back, or by direction
            (`"a_to_b"` and `"b_to_a"`).
        discriminators: of the first and of the second modality's images, or by modality.
        modalities: their names.
        loss: name in `kmed.losses.adversarial.ADVERSARIAL`, or such an object. The Wasserstein
            loss needs discriminators with spectral normalisation here.
        cycle_weight: of the way there and back.
        identity_weight: of leaving the target as it is, times `cycle_weight`; 0 where the
            modalities have other numbers of channels.
        buffer: number of earlier fakes of each modality that are held; 0: none.
        average: decay of the generators' moving averages, which are used and exported; None: none.
        augmentation: policy of `kmed.ops.differentiable_augmentation`, of what the discriminators
            see.
        seed: of the buffers, the augmentation and dropout.
        name: name of the model.

    Raises:
        ValueError: if the networks do not fit each other.
    """

    def __init__(
        self,
        generators: Networks,
        discriminators: Networks,
        *,
        modalities: Sequence[str] = ("a", "b"),
        loss: Any = "least_squares",
        cycle_weight: float = 10.0,
        identity_weight: float = 0.5,
        buffer: int = 50,
        average: float | None = None,
        augmentation: Sequence[str] = (),
        seed: int = 0,
        name: str = "cyclegan",
    ):
        """Check that the networks fit each other, and make the buffers."""
        check_weights({"cycle_weight": cycle_weight, "identity_weight": identity_weight})
        check_policy(augmentation)
        first, second = modalities = checked_modalities(modalities)
        # By direction the modality that it starts from and the one that it makes.
        ways = {f"{a}_to_{b}": (a, b) for a, b in ((first, second), (second, first))}
        generators = named_networks(generators, ways, "generators")
        discriminators = named_networks(discriminators, modalities, "discriminators")
        check_cycle(generators, discriminators, ways, bool(identity_weight))
        logged = ["generator_loss", "discriminator_loss", "cycle_loss", "identity_loss"]
        super().__init__(
            generators, discriminators, loss=loss,
            logged=[*(logged if identity_weight else logged[:3]), "real_accuracy", "fake_accuracy"],
            average=average, seed=seed, name=name,
        )  # fmt: skip
        self.modalities, self.ways = modalities, ways
        self.cycle_weight, self.identity_weight = float(cycle_weight), float(identity_weight)
        self.buffer, self.augmentation = int(buffer), tuple(augmentation)
        shapes = {b: generators[way].output_shape[1:] for way, (_, b) in ways.items()}
        self.buffers = {
            modality: ImageBuffer(buffer, shapes[modality], name=f"{modality}_buffer")
            for modality in modalities
        }

    def call(self, images, training=False):
        """Translate the images of each modality that `images` has; by direction the results."""
        ways = {way: a for way, (a, _) in self.ways.items() if a in images}
        return {way: self.translate(images[a], way) for way, a in ways.items()}

    def translate(self, images, direction: str):
        """Translate images by the averaged generator, in inference mode.

        Args:
            images: float32 `(B, [D,] H, W, C)` in [-1, 1].
            direction: such as "a_to_b", of the modalities' names.

        Returns:
            float32 images of the other modality.

        Raises:
            ValueError: for an unknown direction.
        """
        if direction not in self.ways:
            raise ValueError(
                f"`direction` must be one of {list(self.ways)}; received {direction!r}"
            )
        return self._translated(direction, tf.convert_to_tensor(images), training=False)

    def train_step(self, data):
        """One step on a batch of each modality: the generators', then the discriminators'."""
        real = self._sides(data)
        where, step = place(real[self.modalities[0]]), self.begin()
        weights = self.generator_weights
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([weight.value for weight in weights])
            fake = {b: self._translated(way, real[a]) for way, (a, b) in self.ways.items()}
            logits = self._judge(fake, where, step, _SHOWN_TO_GENERATORS)
            parts = self._generator_losses(real, fake, logits, where)
            scaled = self.generator_optimizer.scale_loss(parts["generator_loss"])
        update(self.generator_optimizer, tape, scaled, weights)

        shown, weights = self._buffered(fake, where, step), self.discriminator_weights
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([weight.value for weight in weights])
            on_real = self._judge(real, where, step, _SHOWN_REAL)
            on_fake = self._judge(shown, where, step, _SHOWN_FAKE)
            parts |= self._discriminator_losses(on_real, on_fake, where)
            scaled = self.discriminator_optimizer.scale_loss(parts["discriminator_loss"])
        update(self.discriminator_optimizer, tape, scaled, weights)
        self.end()
        return self.log(parts, where)

    def test_step(self, data):
        """The losses of a batch, of the averaged generators in inference mode."""
        real = self._sides(data)
        where = place(real[self.modalities[0]])
        fake = {b: self._translated(way, real[a], False) for way, (a, b) in self.ways.items()}
        on_real, on_fake = (self._judge(images, where, None, 0) for images in (real, fake))
        parts = self._generator_losses(real, fake, on_fake, where, training=False)
        return self.log(parts | self._discriminator_losses(on_real, on_fake, where), where)

    def _translated(self, way, images, training=True):
        """Images of the other modality; of the averaged generator where nothing is trained."""
        network = self.generators[way] if training else self.inference_generator(way)
        return tf.cast(network(images, training=training), "float32")

    def _buffered(self, fake, where, step):
        """What the discriminators are shown of this replica's rows: fakes of now or of before."""
        if not self.buffer:
            return fake
        whole, own = gathered(fake)
        everything = Place(0, where.total, where.total)
        for i, (modality, buffer) in enumerate(self.buffers.items()):
            draws = global_rows(
                (2,), everything, step, seed=self.seed, stream=_BUFFER + i, draw="uniform"
            )
            whole = whole | {modality: buffer.query(whole[modality], draws)}
        return own(whole)

    def _judge(self, images, where, step, stream):
        """Logits by modality; in a training step of images that are changed."""
        logits = {}
        for i, modality in enumerate(self.modalities):
            image = images[modality]
            if step is not None and self.augmentation:
                draws = global_rows(
                    (8,), where, step, seed=self.seed, stream=stream + i, draw="uniform"
                )
                image = differentiable_augmentation(image, draws, self.augmentation)
            found = self.discriminators[modality](image, training=step is not None)
            logits[modality] = tf.cast(found, "float32")
        return logits

    def _generator_losses(self, real, fake, logits, where, training=True):
        """This replica's part of what the generators minimise, and of its terms."""
        adversarial, cycle, identity = [], [], []
        for way, (a, b) in self.ways.items():
            adversarial.append(self.objective.generator(logits[b]))
            again = self._translated(way, fake[a], training)
            cycle.append(_mean(tf.abs(again - real[b])))
            if self.identity_weight:
                same = self._translated(way, real[b], training)
                identity.append(_mean(tf.abs(same - real[b])))
        found = {"cycle_loss": cycle, "identity_loss": identity}
        parts = {name: global_mean(tf.add_n(v), where) / 2 for name, v in found.items() if v}
        total = global_mean(tf.add_n(adversarial), where) + penalties(self.generators.values())
        total += 2 * self.cycle_weight * parts["cycle_loss"]
        if identity:
            total += 2 * self.cycle_weight * self.identity_weight * parts["identity_loss"]
        return parts | {"generator_loss": total}

    def _discriminator_losses(self, on_real, on_fake, where):
        """This replica's part of what the discriminators minimise, halved, and their hits."""
        threshold = getattr(self.objective, "threshold", 0.0)
        losses, hits = [], {"real_accuracy": [], "fake_accuracy": []}
        for modality in self.modalities:
            losses += self.objective.discriminator(on_real[modality], on_fake[modality])
            hits["real_accuracy"].append(right_share(on_real[modality], True, threshold))
            hits["fake_accuracy"].append(right_share(on_fake[modality], False, threshold))
        total = global_mean(tf.add_n(losses), where) / 2 + penalties(self.discriminators.values())
        parts = {name: global_mean(tf.add_n(v), where) / 2 for name, v in hits.items()}
        return parts | {"discriminator_loss": total}

    def _sides(self, data):
        first, second, _ = keras.utils.unpack_x_y_sample_weight(data)
        shapes = {a: self.generators[way].input_shape[1:] for way, (a, _) in self.ways.items()}
        sides = checked_images(first, second, shapes)
        return dict(zip(self.modalities, sides, strict=True))

    def get_config(self):
        """Arguments that rebuild the trainer, its networks among them."""
        save = keras.saving.serialize_keras_object
        names = ("cycle_weight", "identity_weight", "buffer", "average", "seed", "name")
        return {
            "generators": [save(self.generators[way]) for way in self.ways],
            "discriminators": [save(self.discriminators[one]) for one in self.modalities],
            "modalities": list(self.modalities),
            "loss": save(self.objective),
            "augmentation": list(self.augmentation),
            **{name: getattr(self, name) for name in names},
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Rebuild the trainer and its networks."""
        load = keras.saving.deserialize_keras_object
        networks = {
            name: [load(network, custom_objects) for network in config[name]]
            for name in ("generators", "discriminators")
        }
        return cls(**config | networks | {"loss": load(config["loss"], custom_objects)})


def _mean(values):
    """The mean of each example."""
    return tf.reduce_mean(values, axis=tuple(range(1, len(values.shape))))
