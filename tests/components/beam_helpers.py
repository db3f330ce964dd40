"""What executors of Beam steps are given in tests."""

import pathlib

from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor

# As pipeline/beam_config.py does: without an image TFX packs itself up for
# each executor, which takes seconds and leaves 42 MB in the temporary folder.
NO_IMAGE = "--sdk_container_image=none"


def beam_context(
    tmp_path: pathlib.Path, *arguments: str
) -> BaseBeamExecutor.Context:
    """The direct runner with these arguments, temporary files in a folder."""
    return BaseBeamExecutor.Context(
        beam_pipeline_args=[*arguments, NO_IMAGE],
        tmp_dir=str(tmp_path),
        unique_id="1",
    )
