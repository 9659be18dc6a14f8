"""The report of a run: what was read, what was found, drawn and checked, as one page that needs nothing else."""
