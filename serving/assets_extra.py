"""The folder of a SavedModel for what TensorFlow itself does not read.

Pusher copies it with the model, and TF Serving looks there for warm-up
requests.
"""

import os

FOLDER = "assets.extra"

# What the model is: catalogue, index, settings, and from which run.
MODEL_FILE = os.path.join(FOLDER, "model.json")
