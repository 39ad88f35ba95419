"""A request → what the engine is asked: on the event loop where that takes a moment, else in threads that decode."""

from fastapi import Request

from service.http.lifecycle import while_connected
from service.requests.resolve import Resolved, resolve
from service.requests.schemas import SampleRequest
from service.state import State


async def resolved(wanted: SampleRequest, request: Request, state: State) -> Resolved:
    """See `resolve`. Raises ClientDisconnect, and EngineFull where too many wait for their turn."""
    if wanted.is_plain:
        return resolve(state.catalog, wanted)
    # What is known of samples may take each step twenty times: such a plan is laid out in tens of milliseconds.
    return await while_connected(request, state.decoding.run(resolve, state.catalog, wanted))


async def made_ready(found: Resolved, request: Request, state: State) -> Resolved:
    """See `Resolved.made_ready`. Raises as `resolved`."""
    return found if found.is_ready else await while_connected(request, state.decoding.run(found.made_ready))
