"""Figures, not assertions about them: `make bench`."""
