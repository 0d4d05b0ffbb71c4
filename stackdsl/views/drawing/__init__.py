"""Pictures of graphs: boxes in columns by stage, lanes by machine, lines that cross no box."""
