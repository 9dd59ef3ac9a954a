"""Tests marked `aot` compile for accelerators that are not here; they run only when asked for with `-m aot`."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "aot: compiles ahead of time for TPU (needs libtpu) or H200 (needs CUDA wheels)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "aot" in (config.getoption("markexpr") or ""):
        return
    for item in items:
        if item.get_closest_marker("aot"):
            item.add_marker(pytest.mark.skip(reason="ahead-of-time compilation runs with -m aot"))
