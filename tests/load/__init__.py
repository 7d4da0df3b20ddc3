"""`make load`: a crowd at a site of containers, of which some are killed and all are deployed anew."""
