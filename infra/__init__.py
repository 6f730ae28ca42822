"""The embedded stack and the demo that runs on it. Nothing in `jobs/` imports from here."""
