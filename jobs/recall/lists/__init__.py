"""Lists of items that many users share, and rules between items."""
