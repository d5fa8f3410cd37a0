"""Sealed files that a store is rebuilt from: snapshots and log records."""
