"""Who asks, and whether others' pages may ask for them."""
