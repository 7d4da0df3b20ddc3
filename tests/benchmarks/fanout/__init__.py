"""`make bench-fanout`: what it costs to bring updates to browsers."""
