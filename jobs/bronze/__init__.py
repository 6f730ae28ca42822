"""Bronze: records as received, one module a table."""
