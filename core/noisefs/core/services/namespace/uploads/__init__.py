"""Multipart uploads: parts, copies of parts, and the one commit that makes an object of them."""
