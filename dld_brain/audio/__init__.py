"""From files to features, with lengths that are exact."""
