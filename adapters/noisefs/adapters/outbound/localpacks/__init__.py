"""Packs as files of a local disk."""
