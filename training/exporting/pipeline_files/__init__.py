"""The code that an exported pipeline carries; see `diffusers_pipeline.py` beside this folder."""
