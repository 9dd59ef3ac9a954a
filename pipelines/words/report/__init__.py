"""The report of a study of words: one HTML page in the look of the main report."""
