"""What the exit codes of our processes mean; 70 and above are those of sysexits.h."""

from __future__ import annotations

from typing import Final

EXIT_OK: Final = 0
EXIT_BUG: Final = 70  # Our own fault; the log's last line has it.
EXIT_TRY_LATER: Final = 75  # Something was away, or work was left that is delivered again.
EXIT_CONFIGURATION: Final = 78  # The same again with each start: a wrong setting, a taken port.
