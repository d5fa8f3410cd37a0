"""Snapshots and logs as files in a folder of this machine."""
