"""The demo: a year of a grocery shop as dated drops, and three published days."""
