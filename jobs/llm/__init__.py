"""What the LLM says about items and users: selected, paid for once, gated and recorded."""
