"""What a language model says about items and users: selected, paid for once, gated, recorded."""
