"""What every command shares: its options, its output, its help, and what it works on."""
