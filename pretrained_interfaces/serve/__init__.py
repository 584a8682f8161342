"""A server whose answers get shallower, and not later, under load."""
