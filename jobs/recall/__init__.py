"""The recall algorithms: item similarity, user channels, popularity and fusion.

Functions here take frames and settings and return frames; they know only the tables and days that
are passed to them. The table modules in `jobs.silver` and `jobs.gold` compose them.
"""
