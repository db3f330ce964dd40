"""Names of the files in artifacts that more than one step reads or writes.

Apart from the artifact types: those load TFX, which takes seconds, and a
command that only fetches a file must not wait for it.
"""

INGEST_FILE = "ingest.json"  # HistoryExampleGen's dead letters
TRAINING_FILE = "training.json"  # Trainer's model run
DRIFT_FILE = "drift.json"  # PeriodStatistics' statistics
METRICS_FILE = "metrics.json"  # RankingEvaluator's evaluation
REPORT_FILE = "report.html"  # the same
# The same, and in `assets.extra/` of the model that is pushed.
MODEL_CARD_FILE = "model_card.md"
VALIDATION_FILE = "validation.json"  # ServingValidator's blessing
