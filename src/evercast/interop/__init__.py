"""Analyses in the forms of other systems: `reana` writes what a REANA cluster runs."""
