import jax
import pytest


@pytest.fixture(autouse=True, scope="package")
def optax_mixes_dtypes():
    """The rest of the suite forbids implicit promotion; optax raises floats to integer step counts."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture(autouse=True, scope="package")
def compile_once(tmp_path_factory):
    """The same tiny training runs again and again; its programs are compiled the first time."""
    settings = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("xla_cache")),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": 0,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)
