"""XML bodies: out by formatting text, in by lxml with everything dangerous off."""
