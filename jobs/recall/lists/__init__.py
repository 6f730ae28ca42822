"""Lists of items that are the same for many users, and rules between items."""
