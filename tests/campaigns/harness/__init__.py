"""The parts that the campaigns share: director, worker processes, ledger, probe and report."""
