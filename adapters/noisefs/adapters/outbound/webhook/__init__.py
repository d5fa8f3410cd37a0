"""The port ``EventSink`` over HTTP: signed POSTs."""
