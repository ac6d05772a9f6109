"""Running the plan: what became ready is computed, once, by the executor that is quickest here."""
