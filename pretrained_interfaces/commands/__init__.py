"""The words of the command line, one a file; see `pretrained_interfaces.__main__`."""
