"""Packs: filling them, sealing them, closing those a crash left open."""
