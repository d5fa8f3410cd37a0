"""Which cells are worth keeping: replacement policies, the same objects in the server and in the simulator.

A policy is bookkeeping only: keys and sizes, never bytes. It is synchronous, does no I/O, reads no clock and, given the
same accesses and seed, always decides the same. Whoever holds the bytes follows its decisions.
"""
