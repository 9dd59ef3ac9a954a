"""What the tests of the C++ library share."""

import pytest

from keytokens.kernels.cpu_ffi import library

needs_cpu_library = pytest.mark.skipif(not library.is_fast(), reason=f"no AVX2, or not built: {library.BUILD_COMMAND}")
