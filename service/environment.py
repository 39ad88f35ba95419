"""The environment variables that settings are read from."""

import re
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource

SERVICE_LINK = re.compile(r"(tcp|udp|sctp)://")


class OwnEnvironment(EnvSettingsSource):
    """The environment without what Kubernetes adds to it: beside a Service named spirale, every pod has
    SPIRALE_PORT=tcp://ADDRESS:PORT."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        value, key, is_complex = super().get_field_value(field, field_name)
        if isinstance(value, str) and SERVICE_LINK.match(value):
            return None, key, is_complex
        return value, key, is_complex
