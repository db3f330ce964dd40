"""A trained model through the export and back."""

import numpy as np
import tensorflow as tf

from components.trainer.served import served
from serving.export import export_saved_model


def reloaded(model, directory, item_ids, max_history):
    """`serving_default` of the exported model, which answers all items."""
    encode, item_vectors = served(model)
    export_saved_model(
        str(directory),
        encode=encode,
        item_vectors=item_vectors.numpy(),
        item_ids=item_ids,
        popular_items=np.arange(len(item_ids)),
        max_history=max_history,
        default_k=len(item_ids),
    )
    return tf.saved_model.load(str(directory)).signatures["serving_default"]
