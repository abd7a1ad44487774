"""What AWS then does on a caller's behalf: other calls, through a service."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from pipeline.simulate.catalogue import Action, load_catalogue, load_yaml
from pipeline.simulate.organisation import Organisation
from pipeline.simulate.records import Call


def echo(organisation: Organisation, call: Call, variant: int) -> Iterator[Call]:
    """The calls that follow from a call, if any."""
    known = _echoes().get(call.action.key)
    if known is None:
        return
    service, count, actions = known
    caller = call.caller.through(service)
    for step in range(count):
        action = actions[(variant + step) % len(actions)]
        yield call._replace(
            time=call.time + 0.15 * (step + 1),
            caller=caller,
            action=action,
            address=service,
            agent=service,
            body=organisation.body(action, call.account, call.region, variant + step),
        )


@cache
def _echoes() -> dict[str, tuple[str, int, list[Action]]]:
    catalogue = load_catalogue()
    return {
        key: (service, count, [catalogue[each] for each in calls])
        for key, (service, count, calls) in load_yaml("world.yaml")["echoes"].items()
    }
