"""What is measured against peers: `make bench`, `make bench ONLY=recall`."""
