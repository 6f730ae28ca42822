"""Gold: the tables that consumers read, one module a table."""
