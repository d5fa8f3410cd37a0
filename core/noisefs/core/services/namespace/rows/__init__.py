"""Rows of the namespace in the index, and the counters that change with them."""
