"""Computations that methods and channels share: matrices, products, exact sums, histories."""
