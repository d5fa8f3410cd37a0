"""Snapshots of the index and the log of what came after them: how a store survives the loss of its index.

A *set* is a full snapshot, its increments and the log records written meanwhile, under one random key of the keyring.
When a set expires its key is removed, and with it every deleted key that its files still held.
"""
