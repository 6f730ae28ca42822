"""I2I methods, one module each: ways to find the neighbors of an item."""
