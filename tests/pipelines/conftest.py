"""Tiny real checkpoints that several tests read and none changes."""

import pytest

from tests import tiny_checkpoint


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> str:
    return str(tiny_checkpoint.write_tiny_bert(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="session")
def backbone(tmp_path_factory) -> str:
    return str(tiny_checkpoint.write_tiny_bert(tmp_path_factory.mktemp("backbone"), seed=1))
