"""What stops a compilation."""

from __future__ import annotations


class CompileError(ValueError):
    """The pipeline cannot run on Kubeflow as it is; says why, and the fix."""
