"""The mathematics of the analyses: numpy and scipy only, no Beam, no flags, no JAX."""
