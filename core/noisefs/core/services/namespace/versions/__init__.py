"""Versions of objects: where they lie, their history, and what ages."""
