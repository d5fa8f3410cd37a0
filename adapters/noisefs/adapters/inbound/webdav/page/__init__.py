"""A collection as people see it in a browser, and the script and style that go with it."""
