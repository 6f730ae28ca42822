"""How good the lists are: data, metrics, and the production methods held against both."""
