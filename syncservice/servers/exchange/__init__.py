"""Exchange over EWS, on exchangelib (EWS.md part 2)."""
