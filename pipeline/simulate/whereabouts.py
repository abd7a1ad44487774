"""Where a person is: home, office, under way, behind a VPN, on a mobile network, abroad."""

from __future__ import annotations

from typing import Final

from numpy.random import Generator

from pipeline.simulate.chance import pick, stream
from pipeline.simulate.organisation import Organisation
from pipeline.simulate.places import Place, address_in

TRAVELLERS: Final = 0.2
COMMUTERS: Final = 0.3
"""Share of people without an office in their city who come to one of another city now and then."""
TUNNELLED: Final = 0.35
"""Share of people who use the VPN now and then."""
USUAL: Final = 0.85
"""How often that is through the usual exit."""
ROAMING: Final = 0.35
"""Share of people who use a mobile network now and then."""
SWITCHED: Final = 0.03
"""Share of sittings in which a line gives way to a mobile network."""
NOWHERE: Final = 0.06
"""Share of people whose line is of a network without a city."""
LINE_DAYS: Final = 9
"""Days after which a private line gets another address."""


class Whereabouts:
    """The cities and addresses of one person."""

    def __init__(self, organisation: Organisation, name: str, chance: Generator) -> None:
        self.organisation = organisation
        self.seed, self.name = organisation.spec.seed, name
        homes, offices = organisation.homes, organisation.offices
        weights = [5.0 / (i + 1.5) if i < len(offices) else 0.5 for i in range(len(homes))]
        self.city: Place = pick(chance, homes, weights)
        at_home = self.city in offices
        self.office: Place = self.city if at_home else pick(chance, offices)
        self.in_office = float(chance.uniform(0.3, 0.8)) if at_home else 0.0
        commutes = chance.random() < COMMUTERS and not at_home
        self.commuting = float(chance.uniform(0.05, 0.2)) if commutes else 0.0
        self.vpn = float(chance.uniform(0.05, 0.3)) if chance.random() < TUNNELLED else 0.0
        self.exit = int(chance.integers(len(organisation.exits)))
        self.mobile = float(chance.uniform(0.05, 0.25)) if chance.random() < ROAMING else 0.0
        self.six = bool(chance.random() < 0.06)
        self.nowhere = bool(chance.random() < NOWHERE)
        self.journey = self._plan_journey(chance)

    def _plan_journey(self, chance: Generator) -> tuple[range, Place]:
        days = self.organisation.spec.days
        begin, length = int(chance.integers(0, days)), int(chance.integers(2, 7))
        abroad = [each for each in self.organisation.visited if each.key != self.city.key]
        place = pick(chance, abroad)
        going = chance.random() < TRAVELLERS
        return range(begin, begin + length if going else begin), place

    @property
    def places(self) -> set[tuple[str, str]]:
        """Cities this person is ever seen in."""
        found = {self.city.key}
        if self.journey[0]:
            found.add(self.journey[1].key)
        if self.commuting:
            found.add(self.office.key)
        if self.vpn:
            found |= {place.key for place in (*self.organisation.exits, self.organisation.moved)}
        return found

    def utc(self, day: int) -> float:
        """Hours ahead of UTC where this person is on a day."""
        return self._city(day).utc

    def _city(self, day: int) -> Place:
        if day in self.journey[0]:
            return self.journey[1]
        today = stream(self.seed, "commute", self.name, day)
        return self.office if today.random() < self.commuting else self.city

    def route(self, chance: Generator, day: int) -> tuple[str, ...]:
        """The addresses of a sitting, one after another."""
        city, roll = self._city(day), chance.random()
        phone = self.organisation.atlas.mobile.get(city.country)
        if roll < self.vpn:
            place = self.organisation.exit(self._exit(chance), day)
            return (fixed_address(self.seed, place, "hosting"),)
        if roll < self.vpn + self.mobile and phone:
            return tuple(address_in(chance, phone.home) for _ in range(chance.integers(1, 4)))
        if city is self.office and chance.random() < (self.in_office or 1.0):
            line = fixed_address(self.seed, city, "office")
        elif city is self.city:
            line, _ = self.home(day)
        else:
            line = self._line(city, day)
        if phone and chance.random() < SWITCHED:
            return line, address_in(chance, phone.home)
        return (line,)

    def home(self, day: int) -> tuple[str, Place]:
        """The address of this person's own line, which changes now and then, and where that is."""
        place = self.city
        if self.nowhere:
            place = self.organisation.atlas.mobile.get(place.country, place)
        return self._line(place, day), place

    def _exit(self, chance: Generator) -> int:
        """The exit of the VPN: mostly the usual one."""
        if chance.random() < USUAL:
            return self.exit
        return int(chance.integers(len(self.organisation.exits)))

    def _line(self, place: Place, day: int) -> str:
        """The address of a private line."""
        line = stream(self.seed, "line", self.name, *place.key, day // LINE_DAYS)
        return address_in(line, place.home, self.six)


def fixed_address(seed: int, city: Place, use: str) -> str:
    """The one address of an office or of the VPN's exit in a city."""
    networks = city.office if use == "office" else city.hosting
    return address_in(stream(seed, use, *city.key), networks)
