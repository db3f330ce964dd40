"""The same pipeline on Kubeflow Pipelines 2 and Vertex AI."""
