"""Programs, and what only they need. align_corpus writes a store; every other program reads one or explains a text."""

import logging


def _not_about_bigquery(record: logging.LogRecord) -> bool:
    """False for the warning that Beam logs at import wherever its Google Cloud extra is not installed."""
    return not str(record.msg).startswith("apitools not found")


logging.getLogger().addFilter(_not_about_bigquery)
