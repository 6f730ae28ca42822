"""Recall channels: each finds items for every active user in one way, one module a channel."""
