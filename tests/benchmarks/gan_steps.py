"""Images per second of the three adversarial trainings, as ratios of one run.

    python tests/benchmarks/gan_steps.py [--small] [--turns N]

Each trainer of kmed takes turns with the same step written as Keras' and TensorFlow's own examples
write it: equal networks and first weights, batch, Adam, float32, compiled without XLA, timed in
`fit`; nothing else should run beside it. --small takes narrow networks and 64x64 pixels, for a
processor of few cores; without it the networks are the papers', for a graphics processor. The first
losses show that the contestants compute alike: CycleGAN's are equal, Pix2Pix's but for dropout and
the half of the discriminator's.

"equal terms" leaves out of kmed's step what the examples do not have: the generator's moving
average of DCGAN and the image buffer of CycleGAN; "as it is" has them. What remains different:

- DCGAN: the example judges real and generated images in one batch and draws a second batch for the
  generator, so that the generator runs twice and the discriminator twice, once on two batches.
  kmed judges them apart, so that batch normalisation does not mix them, and
  runs the generator once and the discriminator three times on one batch.
- CycleGAN: the example takes all gradients from one persistent tape, has four optimizers and lets
  each generator learn from one of the two cycles; kmed has two tapes and two optimizers, both
  generators learn from both cycles as in the paper, and the discriminators run on the generated
  images twice.
- Pix2Pix: the tutorial's two tapes share one run of the discriminator on generated images; kmed's
  generator learns from the discriminator after its step, as the authors' does, and so runs it
  thrice. It halves the discriminator's loss, as the authors do and the tutorial does not.

References:
    keras.io/examples/generative/dcgan_overriding_train_step
    keras.io/examples/generative/cyclegan
    tensorflow.org/tutorials/generative/pix2pix
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "2")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from kmed import applications
from kmed.trainers.cyclegan import CycleGAN
from kmed.trainers.dcgan import DCGAN
from kmed.trainers.pix2pix import Pix2Pix

SIZES = {  # size, filters, batch, steps of a turn
    "small": {"dcgan": (64, 32, 16, 8), "cyclegan": (64, 16, 2, 4), "pix2pix": (64, 16, 4, 8)},
    "paper": {
        "dcgan": (64, 64, 128, 20),
        "cyclegan": (256, 64, 1, 20),
        "pix2pix": (256, 64, 1, 20),
    },
}


def adam() -> keras.optimizers.Adam:
    return keras.optimizers.Adam(2e-4, beta_1=0.5)


def descend(optimizer, gradients, network) -> None:
    optimizer.apply_gradients(zip(gradients, network.trainable_weights, strict=True))


class ExampleDCGAN(keras.Model):
    """A step as in Keras' example, its networks in training mode."""

    def __init__(self, generator, discriminator, latent):
        super().__init__()
        self.generator, self.discriminator, self.latent = generator, discriminator, latent
        self.seeds = keras.random.SeedGenerator(0)
        self.built = True

    def compile(self, **options):
        super().compile(**options)
        self.d_optimizer, self.g_optimizer = adam(), adam()
        self.loss_fn = keras.losses.BinaryCrossentropy(from_logits=True)
        self.d_metric = keras.metrics.Mean("d_loss")
        self.g_metric = keras.metrics.Mean("g_loss")

    @property
    def metrics(self):
        return [self.d_metric, self.g_metric]

    def train_step(self, real):
        count = tf.shape(real)[0]
        latent = keras.random.normal((count, self.latent), seed=self.seeds)
        generated = self.generator(latent, training=True)
        combined = tf.concat([generated, real], axis=0)
        labels = tf.concat([tf.ones((count, 1)), tf.zeros((count, 1))], axis=0)
        labels += 0.05 * tf.random.uniform(tf.shape(labels))
        with tf.GradientTape() as tape:
            predictions = self.discriminator(combined, training=True)
            d_loss = self.loss_fn(labels, predictions)
        gradients = tape.gradient(d_loss, self.discriminator.trainable_weights)
        descend(self.d_optimizer, gradients, self.discriminator)
        latent = keras.random.normal((count, self.latent), seed=self.seeds)
        with tf.GradientTape() as tape:
            images = self.generator(latent, training=True)
            predictions = self.discriminator(images, training=True)
            g_loss = self.loss_fn(tf.zeros((count, 1)), predictions)
        gradients = tape.gradient(g_loss, self.generator.trainable_weights)
        descend(self.g_optimizer, gradients, self.generator)
        self.d_metric.update_state(d_loss)
        self.g_metric.update_state(g_loss)
        return {
            "discriminator_loss": self.d_metric.result(),
            "generator_loss": self.g_metric.result(),
        }


class ExampleCycleGAN(keras.Model):
    """A step as in Keras' example: one persistent tape, four optimizers."""

    def __init__(self, generators, discriminators, cycle=10.0, identity=0.5):
        super().__init__()
        self.gen_g, self.gen_f = generators
        self.disc_x, self.disc_y = discriminators
        self.cycle, self.identity = cycle, identity
        self.built = True

    def compile(self, **options):
        super().compile(**options)
        self.optimizers = [adam() for _ in range(4)]
        self.mse, self.mae = keras.losses.MeanSquaredError(), keras.losses.MeanAbsoluteError()

    def train_step(self, data):
        real_x, real_y = data
        networks = (self.gen_g, self.gen_f, self.disc_x, self.disc_y)
        with tf.GradientTape(persistent=True) as tape:
            fake_y, fake_x = self.gen_g(real_x, training=True), self.gen_f(real_y, training=True)
            cycled_x = self.gen_f(fake_y, training=True)
            cycled_y = self.gen_g(fake_x, training=True)
            same_x, same_y = self.gen_f(real_x, training=True), self.gen_g(real_y, training=True)
            losses = [
                self.adversarial(self.disc_y(fake_y, training=True))
                + self.cycle * self.mae(real_y, cycled_y)
                + self.cycle * self.identity * self.mae(real_y, same_y),
                self.adversarial(self.disc_x(fake_x, training=True))
                + self.cycle * self.mae(real_x, cycled_x)
                + self.cycle * self.identity * self.mae(real_x, same_x),
            ]
            losses.append(self.judged(self.disc_x, real_x, fake_x))
            losses.append(self.judged(self.disc_y, real_y, fake_y))
        for loss, network, optimizer in zip(losses, networks, self.optimizers, strict=True):
            descend(optimizer, tape.gradient(loss, network.trainable_weights), network)
        return {
            "generator_loss": losses[0] + losses[1],
            "discriminator_loss": losses[2] + losses[3],
        }

    def adversarial(self, fake):
        return self.mse(tf.ones_like(fake), fake)

    def judged(self, network, real, fake):
        real, fake = network(real, training=True), network(fake, training=True)
        return 0.5 * (self.mse(tf.ones_like(real), real) + self.mse(tf.zeros_like(fake), fake))


class ExamplePix2Pix(keras.Model):
    """A step as in TensorFlow's tutorial: two tapes over one run of each network."""

    def __init__(self, generator, discriminator):
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
        self.built = True

    def compile(self, **options):
        super().compile(**options)
        self.d_optimizer, self.g_optimizer = adam(), adam()
        self.loss_fn = keras.losses.BinaryCrossentropy(from_logits=True)

    def train_step(self, data):
        source, target = data
        with tf.GradientTape() as g_tape, tf.GradientTape() as d_tape:
            made = self.generator(source, training=True)
            real = self.discriminator(tf.concat([source, target], -1), training=True)
            fake = self.discriminator(tf.concat([source, made], -1), training=True)
            l1 = tf.reduce_mean(tf.abs(target - made))
            g_loss = self.loss_fn(tf.ones_like(fake), fake) + 100.0 * l1
            d_loss = self.loss_fn(tf.ones_like(real), real)
            d_loss += self.loss_fn(tf.zeros_like(fake), fake)
        gradients = g_tape.gradient(g_loss, self.generator.trainable_weights)
        descend(self.g_optimizer, gradients, self.generator)
        gradients = d_tape.gradient(d_loss, self.discriminator.trainable_weights)
        descend(self.d_optimizer, gradients, self.discriminator)
        return {"generator_loss": g_loss, "discriminator_loss": d_loss, "l1_loss": l1}


def copies(networks, count: int):
    """The same networks, weights included, once for each contestant."""
    sets = [networks]
    for _ in range(count - 1):
        sets.append([keras.models.clone_model(network) for network in networks])
        for new, old in zip(sets[-1], networks, strict=True):
            new.set_weights(old.get_weights())
    return sets


def dcgan(size: int, filters: int):
    shape = (size, size, 3)
    networks = [
        applications.dcgan_generator(shape, filters=filters),
        applications.dcgan_discriminator(shape, filters=filters),
    ]
    first, second, third = copies(networks, 3)
    return {
        "example": ExampleDCGAN(*first, latent=100),
        "equal terms": DCGAN(*second, average=None),
        "as it is": DCGAN(*third),
    }


def cyclegan(size: int, filters: int):
    shape = (size, size, 3)
    blocks = 9 if size >= 256 else 6
    networks = [
        applications.cyclegan_generator(shape, blocks=blocks, filters=filters, name=name)
        for name in ("to_y", "to_x")
    ]
    networks += [applications.patchgan(shape, filters=filters, name=name) for name in ("x", "y")]
    first, second, third = copies(networks, 3)
    return {
        "example": ExampleCycleGAN(first[:2], first[2:]),
        "equal terms": CycleGAN(second[:2], second[2:], buffer=0),
        "as it is": CycleGAN(third[:2], third[2:]),
    }


def pix2pix(size: int, filters: int):
    networks = [
        applications.pix2pix_generator((size, size, 3), filters=filters),
        applications.patchgan((size, size, 6), filters=filters, normalization="batch"),
    ]
    first, second = copies(networks, 2)
    return {"example": ExamplePix2Pix(*first), "as it is": Pix2Pix(*second)}


def measure(name: str, contestants: dict, size: int, batch: int, steps: int, turns: int) -> None:
    """Let the contestants take turns, and print the median of each."""
    random = np.random.default_rng(0)
    images = random.uniform(-1, 1, (2, batch, size, size, 3)).astype("float32")
    data = images[0] if name == "dcgan" else tuple(images)
    batches = tf.data.Dataset.from_tensors(data).repeat()
    quiet = {"verbose": 0, "shuffle": False}
    times, first = {who: [] for who in contestants}, {}
    for who, model in contestants.items():
        model.compile(jit_compile=False)
        # The first step traces; its losses are those of the first weights.
        history = model.fit(batches, steps_per_epoch=1, **quiet).history
        first[who] = history["generator_loss"][0], history["discriminator_loss"][0]
        model.fit(batches, steps_per_epoch=2, **quiet)
    for _ in range(turns):
        for who, model in contestants.items():
            start = time.perf_counter()
            model.fit(batches, steps_per_epoch=steps, **quiet)
            times[who].append((time.perf_counter() - start) / steps)
    base = statistics.median(times["example"])
    print(f"{name}, {size}x{size}, batch {batch}", flush=True)
    for who, taken in times.items():
        step, kind = statistics.median(taken), "" if who == "example" else "kmed, "
        print(
            f"  {kind + who:18} {batch / step:8.2f} images/s, {base / step:5.2f} of the example's; "
            f"first losses {first[who][0]:.4f} and {first[who][1]:.4f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="narrow networks, 64x64 pixels")
    parser.add_argument("--turns", type=int, default=5, help="of each contestant, at least 1")
    given = parser.parse_args()
    for name, build in (("dcgan", dcgan), ("cyclegan", cyclegan), ("pix2pix", pix2pix)):
        size, filters, batch, steps = SIZES["small" if given.small else "paper"][name]
        keras.utils.set_random_seed(0)
        measure(name, build(size, filters), size, batch, steps, max(1, given.turns))
        keras.utils.clear_session()


if __name__ == "__main__":
    main()
