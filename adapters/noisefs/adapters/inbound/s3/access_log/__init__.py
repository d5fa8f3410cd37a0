"""Access logs of buckets: their lines, and who keeps them until they are put away."""
