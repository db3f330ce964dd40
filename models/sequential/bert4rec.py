"""BERT4Rec: a transformer that sees both sides and guesses masked items.

Sun et al. 2019, as the paper's section 3.3 has it: cross-entropy of the
masked positions against the whole catalogue. The user vector is the state of
a [MASK] behind the newest item. [MASK] is a vector of the tower and no row of
the item table, so it is never scored or recommended.

States meet the item table as they are, like SASRec's. The head that Sun et al.
put between (a dense layer with GELU) did no better on Amazon Beauty: validation
NDCG@10 0.0120 within 30 epochs, 0.0117 with a layer normalisation behind it,
0.0131 without (one seed; the standard error is about 0.0009).
"""

from __future__ import annotations

import tensorflow as tf

from models import random_streams
from models.config import SequentialConfig
from models.item_embedding import ItemEmbedding
from models.sequential.encoder import TransformerTower
from models.sequential.masking import only_last, training_masks
from models.sequential.packing import Packing
from models.sequential.tower import TrainingStates


class BERT4Rec(TransformerTower):
    """States of right-aligned sequences some of whose columns are masked.

    Training masks positions of sequences of `max_length` events; inference
    appends [MASK] to the newest `max_length - 1`. Either way there are
    `max_length` positions, and the one to recommend for is the last.

    Args:
        items: the shared item table.
        config: sizes and masking.
        init_stddev: of the item table's start, which all tables' follows.
        seed: of the start values.
    """

    # [MASK]
    extra_positions = 1

    def __init__(
        self,
        items: ItemEmbedding,
        config: SequentialConfig,
        init_stddev: float,
        seed: int,
    ) -> None:
        super().__init__(items, config, init_stddev, seed)
        self.mask_probability = config.mask_probability
        self.last_mask_probability = config.last_mask_probability
        self.mask_vector = self.add_weight(
            name="mask",
            shape=(items.embedding_dim,),
            initializer=tf.keras.initializers.TruncatedNormal(
                # Not + 1, which is the seed of the graph's user table.
                stddev=init_stddev,
                seed=seed + 5,
            ),
        )

    def call(
        self,
        sequences: tf.Tensor,
        masked: tf.Tensor,
        seed: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Encodes sequences.

        Args:
            sequences: [batch, length] int item numbers, newest in the last
                column, 0 pads on the left; length up to max_length.
            masked: [batch, length] bool; True hides the item of a column,
                which then is [MASK].
            seed: [2] int32 of this training step; None switches dropout off.

        Returns:
            [batch, length, d] float32; every column has seen all known ones.
            Zeros where padded.
        """
        packing = Packing.of(masked | (sequences > 0))
        return packing.pad(self._states(sequences, masked, packing, seed, None))

    @tf.autograph.experimental.do_not_convert
    def training_states(
        self,
        sequences: tf.Tensor,
        seed: tf.Tensor,
        table: tf.Tensor | None = None,
    ) -> TrainingStates:
        """Masked positions predict their own item; see SequentialTower.

        The user vectors come from a pass of their own, in which the last
        position alone is masked. In the pass that is trained on, the last
        position mostly shows its item or sees a history with holes; neither
        is what the vector means at inference, where [MASK] follows a whole
        history. Here they are the state that is to guess the newest event
        from all before it, as SASRec's are. TensorFlow leaves the pass out
        where nothing reads them, as without alignment.
        """
        masked = training_masks(
            sequences > 0,
            self.mask_probability,
            self.last_mask_probability,
            seed,
        )
        packing = Packing.of(sequences > 0)
        guessed = packing.pack(masked)
        states = self._states(sequences, masked, packing, seed, table)
        states = tf.boolean_mask(states, guessed)
        targets = tf.boolean_mask(packing.pack(sequences), guessed) - 1
        user_seed = random_streams.USER_VECTORS.seed(seed)
        users = self._user_vectors(sequences, user_seed, table)
        return TrainingStates(states, targets, users)

    @tf.autograph.experimental.do_not_convert
    def last_state(
        self, histories: tf.Tensor, table: tf.Tensor | None = None
    ) -> tf.Tensor:
        """[batch, length] histories to [batch, d] user vectors (h_u)."""
        sequences = tf.pad(histories[:, -self.max_inputs :], [[0, 0], [0, 1]])
        return self._user_vectors(sequences, None, table)

    def _user_vectors(
        self,
        sequences: tf.Tensor,
        seed: tf.Tensor | None,
        table: tf.Tensor | None,
    ) -> tf.Tensor:
        """[batch, d] states of the last column, which is masked."""
        masked = only_last(sequences)
        packing = Packing.of(masked | (sequences > 0))
        return packing.last(
            self._states(sequences, masked, packing, seed, table)
        )

    def _states(
        self,
        sequences: tf.Tensor,
        masked: tf.Tensor,
        packing: Packing,
        seed: tf.Tensor | None,
        table: tf.Tensor | None,
    ) -> tf.Tensor:
        """[positions, d] of the known and the masked positions."""
        hidden = packing.pack(masked)
        shown = self.items(packing.pack(sequences), table)
        vectors = tf.where(hidden[:, tf.newaxis], self.mask_vector, shown)
        known = masked | (sequences > 0)
        return self.encode(vectors, packing, known[:, tf.newaxis, :], seed)
