"""Named studies: datasets x models x seeds x one varied setting."""
