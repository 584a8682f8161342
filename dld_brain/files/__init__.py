"""Files: written whole, checked against a manifest, named to the shell."""
