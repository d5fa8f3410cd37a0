"""Protocols that clients speak: they call core services."""
