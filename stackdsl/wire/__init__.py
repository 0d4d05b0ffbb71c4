"""The protocols: frozen data as JSON, JSON in frames, calls over frames."""
