"""Administration: health and metrics over HTTP, and commands over a socket in the data folder."""
