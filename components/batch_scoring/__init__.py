"""The best items of every user, written to Parquet."""
