"""Artifact types this project adds to TFX's standard ones.

The type names follow the pattern Kubeflow and Vertex accept (package.Class)
and the classes are importable from `components` under those names.
"""

from tfx.types import artifact


class DeadLetters(artifact.Artifact):
    """Log rows that could not be used, with file, line and reason."""

    TYPE_NAME = "components.DeadLetters"


class InteractionGraph(artifact.Artifact):
    """User-item graphs, one folder per fit period.

    Each folder holds `graph_schema.pbtxt` and `graph.tfrecord` with one
    serialized TF-GNN GraphTensor.
    """

    TYPE_NAME = "components.InteractionGraph"
