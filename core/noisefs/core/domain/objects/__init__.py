"""What protocols tell about objects: digests, ETags of parts, conditions."""
