"""transformers, for configurations and tokenizers only; imported when first needed, as it takes a second."""

import os
from types import ModuleType


def import_transformers() -> ModuleType:
    """The module, without its advice to install PyTorch."""
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    import transformers

    return transformers
