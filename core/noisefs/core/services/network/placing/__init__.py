"""Packs onto nodes, and what keeps them there."""
