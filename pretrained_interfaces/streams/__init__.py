"""Live speech: words as they are said, at a depth that the machine holds."""
