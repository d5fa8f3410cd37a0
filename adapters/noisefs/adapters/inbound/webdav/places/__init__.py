"""Which thing a URL names, and what is there."""
