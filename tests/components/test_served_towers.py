"""The exported SavedModel of each sequential tower against numpy."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from models.config import (
    AlignmentConfig,
    GraphTowerConfig,
    ModelConfig,
    SequentialConfig,
)
from models.create import Create
from tests.components.served_helpers import reloaded
from tests.models import numpy_transformer

NUM_ITEMS, MAX_HISTORY = 30, 5
ITEM_IDS = [b"item %02d" % number for number in range(NUM_ITEMS)]
# Catalogue positions, oldest first: one item, some, all, more than all.
HISTORIES = [[3], [4, 9, 4], [1, 2, 3, 4, 5], [8, 7, 6, 5, 4, 3, 2, 29]]

SASREC = SequentialConfig(max_length=MAX_HISTORY + 1, num_heads=2)
BERT4REC = dataclasses.replace(SASREC, encoder="bert4rec")


def expected_scores(model, config, history):
    """[num_items] scores of one user."""
    newest = history[-MAX_HISTORY:]
    tower = model.sequential
    vectors = model.items.table.numpy()[newest]
    if config.encoder == "bert4rec":
        vectors = np.vstack([vectors, tower.mask_vector.numpy()])
    rows = np.arange(len(vectors))
    if config.positions == "newest":
        rows += tower.num_positions - len(vectors)
    causal = config.encoder == "sasrec"
    states = numpy_transformer.forward(tower, config, vectors, rows, causal)
    return model.items.table.numpy() @ states[-1]


@pytest.mark.parametrize("positions", ["newest", "oldest"])
@pytest.mark.parametrize("config", [SASREC, BERT4REC], ids=lambda c: c.encoder)
def test_reloaded_model_ranks_as_numpy(config, positions, tmp_path):
    config = dataclasses.replace(config, positions=positions)
    model = Create(
        ModelConfig(
            embedding_dim=8,
            init_stddev=0.5,
            sequential=config,
            graph=GraphTowerConfig(encoder="none"),
            alignment=AlignmentConfig(kind="none"),
        ),
        NUM_ITEMS,
        None,
        seed=0,
    )
    numpy_transformer.randomize(model.sequential)
    recommend = reloaded(model, tmp_path, ITEM_IDS, MAX_HISTORY)
    texts = [[ITEM_IDS[i] for i in history] for history in HISTORIES]
    # "" and unknown ids anywhere are as if they were not there
    padded = [[b"", b"never seen", *text, b""] for text in texts]
    padded = [row + [b""] * (11 - len(row)) for row in padded]
    answer = recommend(history=tf.constant(padded))
    for row, history in enumerate(HISTORIES):
        scores = expected_scores(model, config, history)
        best = np.argsort(-scores, kind="stable")
        # the whole catalogue and nothing else, such as [MASK], comes out
        ids = answer["item_ids"][row].numpy().tolist()
        assert ids == [ITEM_IDS[i] for i in best]
        np.testing.assert_allclose(
            answer["scores"][row], scores[best], rtol=1e-4, atol=1e-4
        )
