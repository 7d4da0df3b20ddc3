"""What runs over there, in the services' own environment: nothing of ours is imported here."""
