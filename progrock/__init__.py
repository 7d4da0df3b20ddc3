"""Start a long job on a remote service, watch it, and keep the person who asked in the loop until it is over."""
