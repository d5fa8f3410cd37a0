"""The port ``EventSink`` over Redis: entries of a stream."""
