"""In place of pluto-rt 0.7: docs/howto/come-from-pluto-rt.md."""
