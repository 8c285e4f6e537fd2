"""Who owes what: the table of assignments, dealing it out, and how far the work has come.

`table` reads and writes ``assignments.csv``; `blocks` deals cases to raters; `owed` gives the
readings that are owed; `progress` holds them against what was read, and `history` keeps what was
known on earlier dates.
"""

from crowdqc.assignments.owed import owed_readings
from crowdqc.assignments.table import read_assignments

__all__ = ["owed_readings", "read_assignments"]
