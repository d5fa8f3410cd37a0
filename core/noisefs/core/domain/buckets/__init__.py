"""What buckets and their objects are told to do: names, classes, tags, locks, lifecycle, logs, events."""
