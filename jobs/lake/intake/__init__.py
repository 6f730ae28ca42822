"""Intake: drops become bronze rows. Mapping, reading, parsing, and the replay of quarantined rows."""
