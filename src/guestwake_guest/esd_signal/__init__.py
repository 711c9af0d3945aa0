"""How other software in this guest says "restart required": a FIFO (contract, section 7)."""
