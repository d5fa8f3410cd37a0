"""What nodes, and this disk, need not hold any more."""
