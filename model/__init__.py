"""The mathematics of diffusion: tensors in, tensors out. Imports neither `training` nor `service`."""
