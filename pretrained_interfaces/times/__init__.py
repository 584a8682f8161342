"""When words were said, and the file formats that say so."""
