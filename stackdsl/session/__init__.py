"""The one way in: load, check, plan, start, watch, change, stop. Every face calls this."""
