"""The namespace: buckets, objects, uploads, listings and what WebDAV adds. One commit publishes one version."""
