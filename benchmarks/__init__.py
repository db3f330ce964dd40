"""What produces every published number, and its results."""

import os
import warnings

# Before TensorFlow is first loaded; its C++ reports harmless things about GPUs
# as errors, and its real ones reach Python as exceptions.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
warnings.simplefilter("ignore", FutureWarning)
