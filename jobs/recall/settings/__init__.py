"""Settings that several sources, lists or kernels share; the rest stands beside its owner."""
