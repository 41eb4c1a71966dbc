"""Applications with a planted race each, and its fixed twin: a template of which one word differs."""
