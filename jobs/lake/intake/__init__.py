"""Drops become bronze rows: mapping, reading, parsing, and the replay of quarantined rows."""
