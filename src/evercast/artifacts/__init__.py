"""Room: artifacts."""
