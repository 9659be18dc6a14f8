"""Archived analyses run again: replays with a verdict, what a machine would change, documents of older versions."""
