"""The demo's remote service: performs a short progressive-rock track and records it to a WAV file."""
