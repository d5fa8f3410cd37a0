"""Older versions and deleted files of buckets that keep versions, as collections that no listing shows.

``/bucket/.versions/KEY/VERSIONID`` can be read and copied out of; what is in ``/bucket/.trash/`` also moved out, which
restores it, and removed, which is for good. Who has real files of such a name sees them instead.
"""
