"""Room: likelihood."""
