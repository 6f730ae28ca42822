"""I2I methods: each finds similar items in one way, one module a method."""
