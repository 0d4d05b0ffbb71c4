"""The command line: words in, exit codes out. Everything else is asked of `session` and `views`.

Laws: results on stdout, everything else on stderr; a command's own imports are made inside it, so
that `stackdsl --help` stays as quick as typer itself.
"""
