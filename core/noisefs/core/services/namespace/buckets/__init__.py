"""Buckets: what they hold, may hold, and tell of."""
