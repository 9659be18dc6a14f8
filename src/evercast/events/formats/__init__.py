"""Room: events/formats."""
