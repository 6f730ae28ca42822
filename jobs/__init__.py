"""reclake: an offline recommendation lakehouse."""
