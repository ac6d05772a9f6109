"""Each operation of a plan as instructions with tables and weights: data that executors interpret."""
