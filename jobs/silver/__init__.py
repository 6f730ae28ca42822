"""Silver: typed, deduplicated and enriched, one module a table."""
