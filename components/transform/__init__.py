"""Cut times, vocabularies and indices for the stock Transform."""
