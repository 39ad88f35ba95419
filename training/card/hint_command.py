"""The command on a ControlNet's card: a request that it answers."""

from model.checkpoints.control import ControlConfig


def hint_command(config: ControlConfig) -> str:
    """By curl, in any shell. The pictures are files beside it: drawing.png, or picture.png and mask.png."""
    fields = f'"dataset": "{config.data.dataset}", ' + (f'"model": "{config.base.name}", ' if config.jumps else "")
    if config.hint == "inpainting":
        fields += f'"init": {{{_image("picture")}}}, "mask": {{{_image("mask")}}}'
    else:
        fields += f'"control": {{"kind": "{config.hint}", {_image("drawing")}}}'
    return f"curl -d '{{{fields}}}' localhost:8000/sample -o followed.png"


def _image(name: str) -> str:
    """The field `image` in a request that stands between single quotes: these end, so that the shell runs base64."""
    in_base64 = f"$(base64 < {name}.png | tr -d '\\n')"
    return f"""\"image\": "'{in_base64}'\""""
