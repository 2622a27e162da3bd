"""The five nodes of the state machine, one file each."""
