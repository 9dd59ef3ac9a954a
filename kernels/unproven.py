"""Implementations that no device has run yet: by name they say so, and `None` never takes them."""

import jax

UNPROVEN = {
    "pallas_tpu": (
        "tpu",
        "it equals the reference in Pallas' interpreter and compiles ahead of time for v5e and v6e, but has never run",
    ),
    "mosaic_gpu": ("gpu", "it compiles ahead of time for H200, but has never run, and its numbers were never seen"),
}
OPT_IN = "unproven:"


def proven_name(name: str) -> str:
    """The name of an implementation, without the prefix by which one opts in to an unproven one.

    Raises:
      ValueError: it is unproven and the name has no such prefix, or the default device is not its own.
    """
    bare = name.removeprefix(OPT_IN)
    if bare not in UNPROVEN:
        return name
    platform, state = UNPROVEN[bare]
    if bare == name:
        raise ValueError(
            f"implementation={name!r} is unproven: {state}. Use None, or to try it and compare it with 'xla', "
            f"implementation={OPT_IN + name!r}."
        )
    if jax.default_backend() != platform:
        raise ValueError(
            f"implementation={bare!r} needs a {platform}, but the default device is {jax.default_backend()}."
        )
    return bare
