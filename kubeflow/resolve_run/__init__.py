"""The first step of a run: what the parameters of this run mean."""
