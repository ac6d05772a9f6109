"""Run the plan: units are computed once, as they become ready, by the fastest executor available."""
