"""Training of two towers whose embeddings meet: retrieval across modalities.

References:
    Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision",
    figure 3 (both directions, the examples of all devices).
    Wang et al. 2020, "Cross-Batch Memory for Embedding Learning" (`memory`).
    Gao, Zhang, Han and Callan 2021, "Scaling Deep Contrastive Learning Batch Size under Memory
    Limited Setup" (`chunks`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from kmed.ops.relations import relations as compare
from kmed.trainers.embedding_memory import EmbeddingMemory
from kmed.trainers.gradient_cache import cached, recorded
from kmed.trainers.replicas import agreed, gathered
from kmed.trainers.tower_checks import (
    check_loss,
    check_settings,
    checked_dimension,
    checked_keys,
    checked_sides,
)


@keras.saving.register_keras_serializable("kmed")
class TwoTowers(keras.Model):
    """Trains the networks of two modalities, whose weights it shares, so that what matches is near.

    The loss is that of the whole batch: every replica has the embeddings of all, so that N
    replicas compute, change and log what one would with N times the batch. A mask of dropout
    depends on the seed, the optimizer's step, the replica and the chunk, and on nothing else.

    `fit` takes `x`, by modality float32 images, int32 ids or strings of B rows, and `y`, by
    modality the "key", "patient", "study", "label" and "position" `(B,)` of these, as
    `kmed.ops.relations` explains them. Logged are the loss and "recall_at_1": how often the
    nearest match of a row is nearer than every counterexample of the batch, the mean of both
    directions; and "scale", where the loss learns one.

    Reference: Radford et al. 2021, figure 3; Wang et al. 2020, algorithm 1; Gao et al. 2021,
    section 3.2.

    Args:
        towers: by modality a network to vectors `(B, dimension)` of length 1, two in all. The same
            network twice is one with shared weights.
        loss: has `cross(anchors, gallery, positive, negative, **learned)`, a scalar, and
            `learnable`, the initial values of its learnt scalars (`kmed.losses`).
        relations: which pairs match and which may not be counterexamples, the keyword arguments of
            `kmed.ops.relations.relations`.
        directions: "both", the mean of the losses with anchors of the first and of the second
            modality; "first" or "second", the anchors' modality.
        memory: past embeddings of each modality that are further examples.
        memory_start: optimizer's steps before the memory is used; it is filled from the first.
        chunks: parts that a batch is computed in, whose activations are held one part at a time,
            for one more forward pass. Batch normalisation then normalises a chunk, and its
            averages move with every chunk.
        seed: of the towers' dropout.
        name: name of the model.

    Raises:
        ValueError: if an argument is outside of what is said above.
    """

    def __init__(
        self,
        towers: Mapping[str, keras.Model],
        loss: Any,
        *,
        relations: Mapping[str, Any] | None = None,
        directions: str = "both",
        memory: int = 0,
        memory_start: int = 0,
        chunks: int = 1,
        seed: int = 0,
        name: str = "two_towers",
    ):
        """Check the parts, and make the memory and the loss's scalars."""
        dimension = checked_dimension(towers)
        check_loss(loss)
        check_settings(relations or {}, directions, memory, memory_start, chunks)
        # What the towers compute in decides whether the loss is scaled; images stay float32.
        super().__init__(name=name, dtype=_policy(towers), autocast=False)
        self.towers, self.objective = dict(towers), loss
        self.relations, self.directions = dict(relations or {}), directions
        self.memory, self.memory_start = int(memory), int(memory_start)
        self.chunks, self.seed = int(chunks), int(seed)
        constant = keras.initializers.Constant
        self.scalars = {
            what: self.add_weight((), constant(value), "float32", autocast=False, name=what)
            for what, value in loss.learnable.items()
        }
        self.memories = {
            modality: EmbeddingMemory(memory, dimension, name=f"{modality}_memory")
            for modality in (towers if memory else ())
        }
        logged = ("loss", "recall_at_1", *(["scale"] if "log_scale" in loss.learnable else []))
        self.trackers = {what: keras.metrics.Mean(what) for what in logged}
        self.built = True

    def compile(self, optimizer="rmsprop", **options):
        """Build the optimizer's variables at once, inside of the scope of a strategy."""
        if self.chunks > 1 and options.get("jit_compile", "auto") == "auto":
            # XLA may merge a chunk's two forward passes, and so hold all activations after all.
            options["jit_compile"] = False
        super().compile(optimizer=optimizer, **options)
        self.optimizer.build(self.trainable_variables)

    def compile_from_config(self, config):
        """Compile a trainer that was saved as it was compiled then."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    def call(self, x, training=False):
        """Give the embeddings of the modalities that `x` has."""
        return {modality: self.towers[modality](x[modality], training=training) for modality in x}

    @property
    def metrics(self):
        """What is reset at the start of an epoch."""
        return list(self.trackers.values())

    def train_step(self, data):
        """One step on a batch of both modalities and the keys of its rows."""
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        embeddings, backward = self._forward(checked_sides(x, "x", self.towers))
        rows, own = gathered(embeddings)
        keys, _ = gathered(checked_keys(y, self.towers))
        scalars = self._scalars()
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch((rows, scalars))
            loss = self.loss_of(rows, keys, scalars, memory=True)
            scaled = self.optimizer.scale_loss(loss)
        total = tf.add_n([loss, *self._penalties()])
        at_rows, at_scalars = tape.gradient(scaled, (rows, scalars), unconnected_gradients="zero")
        # Each replica has the gradient at all rows and hands its own rows' on to the towers.
        # Optimizers sum over the replicas, so that a scalar's, the same on all, is divided.
        gradients = backward(own(tf.nest.map_structure(tf.convert_to_tensor, at_rows)))
        gradients += [gradient / _replicas() for gradient in at_scalars.values()]
        gradients = agreed(gradients, self.optimizer)
        self.optimizer.apply_gradients(zip(gradients, self._weights(), strict=True))
        for modality, memory in self.memories.items():
            memory.append(rows[modality], keys[modality])
        return self._log(total, rows, keys)

    def test_step(self, data):
        """The loss of a batch, without the memory."""
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        rows, _ = gathered(self._embed(checked_sides(x, "x", self.towers), training=False))
        keys, _ = gathered(checked_keys(y, self.towers))
        loss = self.loss_of(rows, keys, self._scalars(), memory=False)
        return self._log(tf.add_n([loss, *self._penalties()]), rows, keys)

    def loss_of(self, rows: Mapping, keys: Mapping, scalars: Mapping, *, memory: bool):
        """The loss of the embeddings of a whole batch, the mean of the directions.

        Args:
            rows: by modality `(N, dimension)`.
            keys: by modality the keys of these rows.
            scalars: values of the loss's learnt scalars.
            memory: whether past embeddings are further examples.

        Returns:
            A float32 scalar.
        """
        values = []
        for anchor, other in self._pairs(self.directions):
            gallery = rows[other]
            pairs = compare(keys[anchor], keys[other], **self.relations)
            if memory and self.memories:
                past, past_keys, known = self.memories[other].read()
                known &= self.optimizer.iterations >= self.memory_start
                gallery = tf.concat([gallery, past], axis=0)
                further = compare(keys[anchor], past_keys, **self.relations)
                pairs = [tf.concat([a, b & known], 1) for a, b in zip(pairs, further, strict=True)]
            values.append(self.objective.cross(rows[anchor], gallery, *pairs, **scalars))
        return tf.add_n(values) / len(values)

    def _pairs(self, directions):
        """Modality of anchors and modality of what is found, for each direction."""
        first, second = self.towers
        pairs = {"first": [(first, second)], "second": [(second, first)]}
        return pairs.get(directions, pairs["first"] + pairs["second"])

    def _networks(self):
        """The towers, one with shared weights once."""
        return list({id(tower): tower for tower in self.towers.values()}.values())

    def _tower_weights(self):
        found = [weight for tower in self._networks() for weight in tower.trainable_variables]
        return list({id(weight): weight for weight in found}.values())

    def _weights(self):
        """All that is trained, in the order of the gradients."""
        return [*self._tower_weights(), *self.scalars.values()]

    def _scalars(self):
        return {what: tf.convert_to_tensor(weight.value) for what, weight in self.scalars.items()}

    def _embed(self, x, *, training):
        found = {what: self.towers[what](x[what], training=training) for what in self.towers}
        return {what: tf.cast(rows, "float32") for what, rows in found.items()}

    def _forward(self, x):
        """Embed this replica's rows, and give the function from the gradients there to weights'."""

        def embed(x, chunk):
            self._reseed(chunk)
            outputs = self._embed(x, training=True)
            parts = _replicas() * self.chunks
            return outputs, [self.optimizer.scale_loss(p / parts) for p in self._penalties()]

        weights = [weight.value for weight in self._tower_weights()]
        if self.chunks == 1:
            return recorded(embed, x, weights)
        state = [v for tower in self._networks() for v in tower.non_trainable_weights]
        return cached(embed, x, weights, state, self.chunks)

    def _penalties(self):
        return [tf.cast(one, "float32") for tower in self._networks() for one in tower.losses]

    def _reseed(self, chunk):
        """Set what the masks of dropout are drawn from."""
        states = {id(v): v for tower in self._networks() for v in tower.variables}.values()
        states = [v for v in states if v.name == "seed_generator_state"]
        step = tf.cast(self.optimizer.iterations, "int64")
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        number = (step * _replicas() + tf.cast(replica, "int64")) * self.chunks + chunk
        seed = tf.stack([tf.constant(self.seed, "int64"), number])
        drawn = tf.random.stateless_uniform((len(states), 2), seed, 0, 2**31 - 1, "int64")
        for i, state in enumerate(states):
            state.assign(tf.cast(drawn[i], state.value.dtype))

    def _log(self, loss, rows, keys):
        """Means over the rows of all batches; all replicas have the same."""
        first, _ = self.towers
        self.trackers["loss"].update_state(loss, tf.shape(rows[first])[0])
        for anchor, other in self._pairs("both"):
            pairs = compare(keys[anchor], keys[other], **self.relations)
            found = _nearest(rows[anchor], rows[other], *pairs)
            self.trackers["recall_at_1"].update_state(*found)
        if "scale" in self.trackers:
            scale = tf.exp(self.scalars["log_scale"].value)
            limit = getattr(self.objective, "maximum_scale", float("inf"))
            self.trackers["scale"].update_state(tf.minimum(scale, limit))
        return {what: tracker.result() for what, tracker in self.trackers.items()}

    def get_config(self):
        """Arguments that rebuild the trainer, its towers among them."""
        names = ("directions", "memory", "memory_start", "chunks", "seed", "name")
        return {
            "modalities": list(self.towers),
            "towers": [keras.saving.serialize_keras_object(tower) for tower in self._networks()],
            "loss": keras.saving.serialize_keras_object(self.objective),
            "relations": dict(self.relations),
            **{name: getattr(self, name) for name in names},
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Rebuild the trainer and its towers."""
        load = keras.saving.deserialize_keras_object
        config = dict(config)
        towers = [load(tower, custom_objects) for tower in config.pop("towers")]
        modalities = config.pop("modalities")
        # One network of two modalities is one with shared weights.
        config["towers"] = dict(zip(modalities, towers * (3 - len(towers)), strict=True))
        return cls(**config | {"loss": load(config["loss"], custom_objects)})


def _nearest(anchors, gallery, positive, negative):
    """Whether the nearest match is nearer than all counterexamples, and which rows have both."""
    similarity = tf.matmul(anchors, gallery, transpose_b=True)
    least = tf.constant(float("-inf"))
    match = tf.reduce_max(tf.where(positive, similarity, least), axis=1)
    rival = tf.reduce_max(tf.where(negative, similarity, least), axis=1)
    both = tf.reduce_any(positive, axis=1) & tf.reduce_any(negative, axis=1)
    return tf.cast(match > rival, "float32"), tf.cast(both, "float32")


def _replicas():
    return tf.distribute.get_replica_context().num_replicas_in_sync


def _policy(towers):
    """Type policy of the trainer: float16 anywhere in a tower needs the loss to be scaled."""
    layers = [layer for tower in towers.values() for layer in tower._flatten_layers()]
    return "mixed_float16" if any(one.compute_dtype == "float16" for one in layers) else "float32"
