"""Uploads by a form of a browser: taken apart as they stream in, and held to the policy that somebody signed."""
