"""The systems that are measured, one program each: one candidate of one election. What they say: `lines`."""
