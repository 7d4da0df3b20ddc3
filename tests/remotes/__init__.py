"""Services of others, run for real or played, and driven by settings alone."""
