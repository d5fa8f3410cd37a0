"""Objects: published, listed, looked at, renamed, tagged."""
