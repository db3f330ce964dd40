"""Export of the sequential tower, its local server and its client."""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
