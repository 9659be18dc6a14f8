"""The checks of a run: what is compared, the thresholds, and whether the result may be published."""
