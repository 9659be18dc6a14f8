"""A reader."""
