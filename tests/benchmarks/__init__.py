"""Figures, not assertions: run by `make bench`, never by `make test`."""
