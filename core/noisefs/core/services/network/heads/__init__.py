"""Snapshots and heads on nodes: what a restore begins with."""
