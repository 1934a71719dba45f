"""The console as the place of a log, and what is done where it takes no more."""

import logging
import sys

from tqdm import tqdm

from AEROBI.run.held_stderr import leave_stdout


class ConsoleHandler(logging.Handler):
    """Logging to stdout, above a progress bar; what cannot be written is never a traceback."""

    def __init__(self, goes_on: str = ""):
        """Takes records of INFO and above.

        Args:
            goes_on: what happens without a console: said once, on stderr, instead of an OSError.
        """
        super().__init__(logging.INFO)
        self._goes_on = goes_on

    def emit(self, record: logging.LogRecord) -> None:
        """Writes the line of a record.

        Raises:
            OSError: it cannot be written, and nothing goes on without.
        """
        try:
            tqdm.write(self.format(record), sys.stdout)
            sys.stdout.flush()
        except OSError as error:
            if not self._goes_on:
                raise
            leave_stdout()
            sys.stderr.write(f"WARNING: stdout: {error.strerror}; {self._goes_on}\n")
        except Exception:
            self.handleError(record)
