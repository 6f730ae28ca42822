"""The recall algorithms: item similarity, user channels, popularity and fusion.

Functions here take frames and settings and return frames; they know no table, path or day but
those they are given. The table modules in `jobs.silver` and `jobs.gold` compose them.
"""
