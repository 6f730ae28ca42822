"""How good published lists turned out, and whether a day's may be published."""
