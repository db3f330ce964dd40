"""PeriodStatistics: how train, validation and test differ, for people."""
