"""Requests to a preserved analysis and its responses, as files in a folder."""
