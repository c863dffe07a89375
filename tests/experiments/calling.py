"""Calls a runner's main as from the command line."""

import contextlib
import io


def call(main, *arguments):
    """Its exit status, and what it has said on standard error."""
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        try:
            status = main(list(arguments))
        except SystemExit as end:
            status = end.code
    return status, errors.getvalue()
