"""What runs, in which order, with which settings."""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
