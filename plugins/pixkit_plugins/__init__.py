"""The plugins that pixkit brings; each uses only what `pixkit` exports."""
