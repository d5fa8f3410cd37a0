"""Traces of reads, and what policies and Belady would have missed in them."""
