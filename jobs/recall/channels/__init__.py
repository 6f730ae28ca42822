"""Recall channels, one module each: ways to find items for every active user."""
