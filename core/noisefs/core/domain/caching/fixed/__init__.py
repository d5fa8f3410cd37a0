"""Policies that learn nothing from a model: LRU, S3-FIFO, 2Q, W-TinyLFU, ARC."""
