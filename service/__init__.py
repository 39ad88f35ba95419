"""Online: HTTP to samples. Imports `model`, never `training`."""
