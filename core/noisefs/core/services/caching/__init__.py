"""The tiers between readers and nodes: what is kept in memory and on this disk, fetched once, ahead, and after a start.

A body never changes, so nothing kept here is ever stale; whoever opens a cell verifies its tag.
"""
