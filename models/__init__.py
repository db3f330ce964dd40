"""Keras models of CREATE, usable without TFX.

Importing this package selects legacy Keras (tf_keras), which TensorFlow
reads from the environment at its own first import.
"""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
