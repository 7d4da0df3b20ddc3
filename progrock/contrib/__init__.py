"""What ProgRock is to those who come from something else: each package takes the place of another project."""
