"""Adapters of core's ports: storage, index, system."""
