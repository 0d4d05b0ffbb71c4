"""What happens on a machine: processes, probes, logs, forwards, the journal, and giving it back."""
