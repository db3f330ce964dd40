"""Makes s3:// known to TensorFlow, where a step uses it."""

from __future__ import annotations

from serving import file_systems


def prepare_s3(*texts: str) -> None:
    """Loads TensorFlow's plug-in for s3:// if a text has such a URI.

    Beam reads s3:// by itself (apache-beam[aws]); TensorFlow, and TFX on top
    of it, only with the package tensorflow-io.

    Args:
        *texts: what the step was started with.

    Raises:
        RuntimeError: the plug-in is not installed; says how to get it.
    """
    if not any("s3://" in text for text in texts):
        return
    if file_systems.why_unknown("s3://") is not None:
        raise RuntimeError(
            "s3:// is used, but the package tensorflow-io, which teaches it "
            "to TensorFlow, is not installed. Fix: build the image with "
            "--build-arg STORAGE=s3 (docs/kubeflow.md, Storage)."
        )
