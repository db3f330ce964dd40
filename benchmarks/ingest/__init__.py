"""HistoryExampleGen against a plain pyarrow and pandas program."""
