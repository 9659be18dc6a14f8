"""Figures: each function draws on an Axes and returns it; `figure` alone turns a figure into text."""
