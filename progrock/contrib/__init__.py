"""Ways into other people's frameworks, and over from other people's projects; each is used only if it is imported."""
