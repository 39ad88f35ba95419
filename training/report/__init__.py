"""The quality report: what samplers, steps and guidance scales buy, measured by one command."""
