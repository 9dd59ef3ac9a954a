"""How two selections are compared."""

import numpy as np

from keytokens.kernels import TopK

# Of "cpu_ffi", which `None` may take, the terms that are not among the k selected come from 16-bit integers.
INTEGERS_RTOL = 3e-5


def assert_same(result: TopK, expected: TopK, *, logsumexp_rtol: float = 1e-6) -> None:
    """The same tokens in the same order; values to what float32's exp, log and tanh may differ by."""
    np.testing.assert_array_equal(result.indices, expected.indices)
    np.testing.assert_allclose(result.values, expected.values, rtol=1e-6)
    assert (result.logsumexp is None) == (expected.logsumexp is None)
    if expected.logsumexp is not None:
        np.testing.assert_allclose(result.logsumexp, expected.logsumexp, rtol=logsumexp_rtol)


def assert_close(result: TopK, expected: TopK, *, rtol: float) -> None:
    """Values within `rtol`; tokens may differ only where the values leave their order open."""
    np.testing.assert_allclose(result.values, expected.values, rtol=rtol)
    for row in range(len(result.values)):
        tokens, wanted = (np.asarray(selection.indices[row]) for selection in (result, expected))
        assert len(set(tokens.tolist())) == len(tokens)
        differ = np.flatnonzero(tokens != wanted)
        gaps = np.abs(np.diff(np.asarray(expected.values[row]), append=-np.inf))
        near_tie = np.minimum(gaps, np.roll(gaps, 1)) <= 2 * rtol * np.abs(expected.values[row])
        near_tie[-1] = True  # the first token left out may be as near
        assert near_tie[differ].all()
