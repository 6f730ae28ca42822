"""The quality of published lists, and whether a day's lists may be published."""
