"""Room: publication."""
