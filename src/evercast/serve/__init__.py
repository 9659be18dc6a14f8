"""A local page: browse preserved analyses, fill in a request, follow it, read its response. Loopback only."""
