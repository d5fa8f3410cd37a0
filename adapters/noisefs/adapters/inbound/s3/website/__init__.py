"""Buckets as web sites: their configuration, and the endpoint that answers browsers."""
