"""The benchmark: this server and its peers, driven in turn by one client on one disk.

``python -m bench --help`` tells the rest. Nothing here is part of the wheel.
"""
