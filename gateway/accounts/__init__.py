"""The accounts: which there are (`pool`), how they fare (`health`, pure), what they offer (`catalogue`, pure)."""
