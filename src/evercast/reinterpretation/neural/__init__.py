"""Requests against archives of runs: a new process, the model at another point, another parametrisation."""
