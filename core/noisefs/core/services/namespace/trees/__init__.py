"""What WebDAV adds: collections, moves and copies of them, locks, dead properties."""
