"""What several tests of checkpoints share."""

import pytest


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A directory that names of published models are looked for in."""
    monkeypatch.setenv("KEYTOKENS_CHECKPOINTS", str(tmp_path))
    return tmp_path
