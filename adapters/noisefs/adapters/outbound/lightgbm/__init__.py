"""The port ``CacheTrainer`` with LightGBM."""
