"""Joint training of Faster R-CNN's proposals and head.

Reference: Ren et al. 2015, section 3.2 ("approximate joint training"): the head's loss does not
change the proposals' coordinates.
"""

from __future__ import annotations

from collections.abc import Mapping

import keras
import tensorflow as tf
from keras import ops

from kmed.codecs.faster_rcnn import FasterRCNNCodec
from kmed.layers.proposals import Proposals
from kmed.losses.roi import RoILoss
from kmed.losses.rpn import RPNLoss
from kmed.ops.balanced_sampling import balanced_sample
from kmed.ops.rows import take_rows

_HEAD = ("roi_flatten", *(f"fc{i}{part}" for i in (6, 7) for part in ("", "_relu", "_dropout")))
LOSSES = ("rpn_objectness", "rpn_boxes", "roi_classes", "roi_boxes")


@keras.saving.register_keras_serializable("kmed")
class FasterRCNN(keras.Model):
    """Trains a network of `kmed.applications.faster_rcnn`, whose weights it shares.

    Each image gives `anchors` sampled anchors, half of them positive at most, and `rois` sampled
    boxes from its proposals and its objects, a quarter of them positive at most. What is drawn
    depends on the seed, the optimizer's step and the image's place in the whole batch: N replicas
    compute, change and log what one would with the whole batch.

    Reference: Ren et al. 2015, section 3.1.3; torchvision's numbers.

    Args:
        network: what is trained, and exported afterwards.
        codec: its codec, `FasterRCNNCodec.of(network)`.
        proposals_before: anchors of each level that enter suppression while training.
        proposals: boxes of an image that leave it while training.
        anchors: sampled of each image.
        anchor_share: of these that positives can take at most.
        rois: boxes sampled of each image.
        roi_share: of these that positives can take at most.
        seed: of the samples.
        name: name of the model.

    Raises:
        ValueError: if a number is not positive or a share not in [0, 1].
    """

    def __init__(
        self,
        network: keras.Model,
        codec: FasterRCNNCodec,
        *,
        proposals_before: int = 2000,
        proposals: int = 2000,
        anchors: int = 256,
        anchor_share: float = 0.5,
        rois: int = 512,
        roi_share: float = 0.25,
        seed: int = 0,
        name: str = "faster_rcnn_trainer",
    ):
        """Find the network's parts."""
        super().__init__(name=name)
        if min(proposals_before, proposals, anchors, rois) < 1:
            raise ValueError(
                "`proposals_before`, `proposals`, `anchors` and `rois` must be at least 1; "
                f"received {proposals_before}, {proposals}, {anchors} and {rois}"
            )
        if not 0 <= anchor_share <= 1 or not 0 <= roi_share <= 1:
            raise ValueError(
                "`anchor_share` and `roi_share` must be in [0, 1]; received "
                f"{anchor_share} and {roi_share}"
            )
        self.network, self.codec = network, codec
        self.anchors, self.anchor_share = int(anchors), float(anchor_share)
        self.rois, self.roi_share, self.seed = int(rois), float(roi_share), int(seed)
        inference = network.get_layer("proposals")
        changed = {"before": proposals_before, "after": proposals, "name": "training_proposals"}
        self.propose = Proposals.from_config(inference.get_config() | changed)
        self.align = network.get_layer("roi_align")
        outputs = network.output
        found = [outputs["rpn_objectness"], outputs["rpn_offsets"]]
        self.features = keras.Model(network.input, [*self.align.input[:-1], *found])
        known = {layer.name: layer for layer in network.layers}
        self.head = [known[name] for name in _HEAD if name in known]
        self.classify, self.adjust = known["class_logits"], known["box_offsets"]
        self.rpn_loss, self.roi_loss = RPNLoss(), RoILoss()
        self.trackers = {name: keras.metrics.Mean(name) for name in ("loss", *LOSSES)}
        self.built = True

    def compile(self, optimizer="rmsprop", **options):
        """Build the optimizer's variables at once, inside of the scope of a strategy."""
        super().compile(optimizer=optimizer, **options)
        self.optimizer.build(self.trainable_variables)

    def call(self, image, training=False):
        """Give the network's outputs."""
        return self.network(image, training=training)

    @property
    def metrics(self):
        """What is reset at the start of an epoch."""
        return list(self.trackers.values())

    def train_step(self, data):
        """One step on a batch of images and `codec.targets`."""
        image, targets, _ = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            losses = self.losses_of(image, targets, self.optimizer.iterations, training=True)
            # Gradients are summed over the replicas, each of which has a part of the sum.
            total = sum(losses.values())
            scaled = self.optimizer.scale_loss(total)
        variables = self.trainable_variables
        self.optimizer.apply_gradients(
            zip(tape.gradient(scaled, variables), variables, strict=True)
        )
        return self._log(losses, total)

    def test_step(self, data):
        """The losses of a batch, with samples that are the same in every epoch."""
        image, targets, _ = keras.utils.unpack_x_y_sample_weight(data)
        losses = self.losses_of(image, targets, -1, training=False)
        return self._log(losses, sum(losses.values()))

    def losses_of(self, image, targets, step, *, training: bool) -> Mapping:
        """This replica's part of each loss; those of all replicas add up to the whole batch's."""
        objects = self.codec.objects(targets)
        *features, objectness, offsets = self.features(image, training=training)
        found = self.propose(objectness, offsets)
        boxes, real = _append(found, objects)
        count = objectness.shape[1]
        numbers = self._numbers(objects["place"], count + boxes.shape[1], step)
        true_offsets, labels = self.codec.encode_rpn(objects)
        chosen = balanced_sample(
            labels == 1, labels == 0, numbers[:, :count], self.anchors, self.anchor_share
        )
        y_true = _targets(true_offsets, labels, chosen)
        rpn = self.rpn_loss.parts(
            y_true, ops.concatenate([offsets, objectness[..., None]], axis=-1)
        )
        boxes, y_true = self._sample_boxes(boxes, real, objects, numbers[:, count:])
        x = self.align([*features, boxes])
        for layer in self.head:
            x = layer(x, training=training) if layer.name.endswith("dropout") else layer(x)
        roi = self.roi_loss.parts(
            y_true, ops.concatenate([self.classify(x), self.adjust(x)], axis=-1)
        )
        images = _over_replicas(ops.cast(ops.shape(targets)[0], "float32"))
        values = [*rpn.values(), *roi.values()]
        result = {n: ops.sum(v) / images for n, v in zip(LOSSES, values, strict=True)}
        if self.network.losses:  # regularisation, the same on every replica
            result["regularization"] = sum(self.network.losses) / _over_replicas(1.0)
        return result

    def _sample_boxes(self, boxes, real, objects, numbers):
        """Boxes `(B, S, 4)` for the head and their targets `(B, S, 6)`."""
        offsets, classes = self.codec.encode_rois(objects, boxes)
        chosen = balanced_sample(
            real & (classes > 0), real & (classes == 0), numbers, self.rois, self.roi_share
        )
        size = min(self.rois, boxes.shape[1])
        _, index = ops.top_k(ops.cast(chosen, "int32"), size)
        y_true = _targets(offsets, classes, chosen)
        return ops.stop_gradient(take_rows(boxes, index)), take_rows(y_true, index)

    def _numbers(self, place, count, step):
        """Uniform numbers `(B, count)`, a function of seed, step and place in the whole batch."""
        step = tf.cast(step, tf.int64)

        def one(image):
            seed = tf.stack([tf.constant(self.seed, tf.int64), step * 2**32 + image])
            return tf.random.stateless_uniform((count,), seed)

        return tf.map_fn(one, tf.cast(place, tf.int64), fn_output_signature=tf.float32)

    def _log(self, losses, total):
        replicas = _over_replicas(1.0)  # a metric's mean over these makes the sum of their parts
        self.trackers["loss"].update_state(total * replicas)
        for name in LOSSES:
            self.trackers[name].update_state(losses[name] * replicas)
        return {name: tracker.result() for name, tracker in self.trackers.items()}

    def get_config(self):
        """Arguments that rebuild the trainer, its network among them."""
        names = ("anchors", "anchor_share", "rois", "roi_share", "seed", "name")
        return {
            "network": keras.saving.serialize_keras_object(self.network),
            "codec": keras.saving.serialize_keras_object(self.codec),
            "proposals_before": self.propose.before,
            "proposals": self.propose.after,
            **{name: getattr(self, name) for name in names},
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Rebuild the trainer and its network."""
        parts = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects)
            for name in ("network", "codec")
        }
        return cls(**config | parts)


def _append(found, objects):
    """Append an image's objects to its proposals: boxes `(B, N, 4)` and which are real."""
    boxes = found["boxes"]
    real = ops.arange(boxes.shape[1]) < found["count"][:, None]
    boxes = ops.concatenate([boxes, objects["boxes"]], axis=1)
    return boxes, ops.concatenate([real, objects["labels"] >= 0], axis=1)


def _targets(offsets, labels, chosen):
    """Give `(B, N, 6)` with weights whose sum over the whole batch is its number of images."""
    chosen = ops.cast(chosen, "float32")
    images = _over_replicas(ops.cast(ops.shape(chosen)[0], "float32"))
    number = ops.maximum(_over_replicas(ops.sum(chosen)), 1.0)
    rest = ops.stack([ops.cast(labels, "float32"), chosen * (images / number)], axis=-1)
    return ops.stop_gradient(ops.concatenate([offsets, rest], axis=-1))


def _over_replicas(value):
    """Sum over the replicas."""
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.convert_to_tensor(value))
