"""What is used of Hugging Face's libraries: transformers for configurations and tokenizers only, and the hub."""

import os
from pathlib import Path
from types import ModuleType

# Everything but weights in foreign formats (ONNX, TensorFlow, ...) and code.
_SMALL_FILES = ("*.json", "*.txt", "*.model")


def import_transformers() -> ModuleType:
    """The module, imported when first needed (it takes a second), without its advice to install PyTorch."""
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    import transformers

    return transformers


def download(hub_id: str) -> Path:
    """The local directory of a hub repository: from the cache, else downloaded; weights as safetensors if it has any.

    Raises:
      OSError: it is not cached and cannot be downloaded.
    """
    import huggingface_hub
    from huggingface_hub import errors

    try:
        cached = Path(huggingface_hub.snapshot_download(hub_id, local_files_only=True))
        # A cache may hold the tokenizer only.
        if any(any(cached.glob(f"**/*.{kind}")) for kind in ("safetensors", "bin")):
            return cached
    except (errors.LocalEntryNotFoundError, errors.HFValidationError, FileNotFoundError):
        pass
    try:
        names = huggingface_hub.list_repo_files(hub_id)
        safe = any(name.endswith(".safetensors") for name in names)
        patterns = [*_SMALL_FILES, "*.safetensors" if safe else "*.bin"]
        return Path(huggingface_hub.snapshot_download(hub_id, allow_patterns=patterns))
    except Exception as error:  # The hub's client passes on whatever its network library raises.
        raise OSError(
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
        ) from error
