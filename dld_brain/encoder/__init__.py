"""Who obeys the gates: stacks of layers that run or are skipped."""
