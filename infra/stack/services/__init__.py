"""One module a server: how it is started, and the question that tells whether it works."""
