"""PROPFIND: what clients read about resources."""
