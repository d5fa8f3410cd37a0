"""Blocks from nodes, where this disk has them no more."""
