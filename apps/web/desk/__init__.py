"""The trading desk: pages on which people watch and steer what they trade. One file per page."""
