"""Intruders: known stories, told under the identity of somebody of the organisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from numpy.random import Generator

from pipeline.simulate.catalogue import Action, load_catalogue, load_yaml, serialise
from pipeline.simulate.chance import letters, pick, stream
from pipeline.simulate.identity import Caller, access_key, iam_user
from pipeline.simulate.machines import Machine
from pipeline.simulate.organisation import Account, Body, Organisation
from pipeline.simulate.people import Access, Person
from pipeline.simulate.places import Place, address_in
from pipeline.simulate.records import DAY, Call, Step
from pipeline.simulate.signin import console_login

PLACES: Final = ("home", "far", "odd")
CAMOUFLAGE: Final = (3, 5, 10)
OFTEN: Final = 12
"""A victim's habits that count as often."""
ELSEWHERE: Final = ("ap-northeast-1", "sa-east-1", "ap-southeast-1", "us-west-2")
HABIT: Final = "habit"


@dataclass(frozen=True, slots=True)
class Deed:
    """One step of a story."""

    call: str
    after: float = 5.0
    error: str = ""
    times: int = 1
    elsewhere: bool = False
    request: str = ""


@dataclass(frozen=True, slots=True)
class Story:
    """A technique as the calls it leaves."""

    name: str
    technique: str
    words: str
    victims: tuple[str, ...]
    deeds: tuple[Deed, ...]


@cache
def load_stories() -> tuple[Story, ...]:
    """The stories of attacks.yaml."""
    return tuple(
        Story(
            one["name"],
            one["technique"],
            one["words"],
            tuple(one["victims"]),
            tuple(map(_deed, one["calls"])),
        )
        for one in load_yaml("attacks.yaml")
    )


def _deed(one: str | dict[str, Any]) -> Deed:
    if isinstance(one, str):
        return Deed(one)
    request = serialise(one["request"]) if "request" in one else ""
    return Deed(**{**one, "request": request})


@dataclass(slots=True)
class Attack:
    """A story laid over a victim."""

    number: int
    story: Story
    victim: Person | Machine
    account: Account
    user: str
    place: str
    cover: str
    address: str
    city: Place
    calls: list[Call] = field(default_factory=list)


class Intruders:
    """All attacks on the organisation, in the second half of its time."""

    def __init__(
        self, organisation: Organisation, people: Sequence[Person], machines: Sequence[Machine]
    ) -> None:
        self.organisation, self.spec = organisation, organisation.spec
        self.people, self.machines = people, machines
        self.attacks: list[Attack] = []
        covers = (
            ("alone", "busy", "camouflaged") if self.spec.cover == "mixed" else (self.spec.cover,)
        )
        for turn in range(self.spec.rounds):
            for number, story in enumerate(load_stories()):
                place = PLACES[(number + turn) % len(PLACES)]
                cover = covers[(number // 3 + turn + turn // 3) % len(covers)]
                self._lay(story, turn, place, cover)

    def calls(self, day: int) -> list[Call]:
        """What intruders do on a day."""
        begin = self.spec.epoch + day * DAY
        return [c for a in self.attacks for c in a.calls if begin <= c.time < begin + DAY]

    def _lay(self, story: Story, turn: int, place: str, cover: str) -> None:
        chance = stream(self.spec.seed, "attack", story.name, turn)
        victim = self._victim(chance, story)
        begin = self._begin(chance, victim, place, cover)
        address, city = self._from(chance, victim, place, begin)
        if isinstance(victim, Person):
            access = victim.way_in(chance, mighty=True)
            caller, account = self._stolen(chance, victim, access, begin), access.account
        else:
            caller, account = victim.fresh_caller(chance, begin), victim.account
        attack = Attack(
            len(self.attacks), story, victim, account, caller.user, place, cover, address, city
        )
        self._play(chance, attack, caller, begin)
        self.attacks.append(attack)

    def _victim(self, chance: Generator, story: Story) -> Person | Machine:
        """Somebody who fits, and has lived long enough to have habits."""
        kind = pick(chance, story.victims)
        if kind == "machine":
            return pick(chance, self.machines)
        known = [p for p in self.people if sum(len(s) for s in p.sittings[: self.spec.days // 2])]
        if kind == "iam":
            known = [p for p in known if p.accesses[0].kind == "iam"]
        return pick(chance, known or self.people)

    def _stolen(self, chance: Generator, person: Person, access: Access, begin: float) -> Caller:
        """The victim's own key where there is a lasting one, or other credentials of theirs."""
        if access.role is None:
            key = person.key if chance.random() < 0.6 else access_key(chance, lasting=True)
            return iam_user(access.account, person.name, person.user_id, key)
        return person.caller(chance, access, begin, console=False)

    def _begin(self, chance: Generator, victim: Person | Machine, place: str, cover: str) -> float:
        """A moment in the second half: while the victim works, or well away from that."""
        first, last = self.spec.days // 2, self.spec.days
        sittings = (
            []
            if isinstance(victim, Machine)
            else [s for day in victim.sittings[first:] for s in day]
        )
        if cover == "busy" and sittings:
            return pick(chance, sittings).begin + float(chance.uniform(30, 600))
        begin = 0.0
        for _ in range(40):
            day = int(chance.integers(first, last))
            hour = float(chance.uniform(0, 23) if place == "far" else chance.uniform(8, 18))
            begin = self.spec.epoch + day * DAY + hour * 3600
            if all(abs(begin - sitting.begin) > 2.5 * 3600 for sitting in sittings):
                break
        return begin

    def _from(
        self, chance: Generator, victim: Person | Machine, place: str, begin: float
    ) -> tuple[str, Place]:
        """Where the intruder comes from, and which city that is."""
        organisation = self.organisation
        if place == "far":
            city = pick(chance, organisation.strange_cities)
            return address_in(chance, (*city.hosting, *city.home[:-1])), city
        if isinstance(victim, Machine):
            if place == "odd":
                city = pick(chance, organisation.homes)
                return address_in(chance, city.home), city
            return victim.own_address(0, begin), organisation.atlas.regions[victim.region]
        if place == "odd":
            others = [each for each in organisation.homes if each.key not in victim.places]
            city = pick(chance, others)
            return address_in(chance, city.home), city
        day = min(int(begin - self.spec.epoch) // DAY, self.spec.days - 1)
        city = victim.whereabouts.city
        return victim.whereabouts.home_address(city, day), city

    def _play(self, chance: Generator, attack: Attack, caller: Caller, begin: float) -> None:
        """The story's calls, and among them what makes them look like the victim's."""
        steps: list[tuple[int, Deed]] = []
        for number, deed in enumerate(attack.story.deeds, 1):
            steps += [(number, deed)] * deed.times
        if attack.cover == "camouflaged":
            for _ in range(pick(chance, CAMOUFLAGE)):
                steps.insert(int(chance.integers(0, len(steps) + 1)), (0, Deed(HABIT)))
        agent: str = pick(chance, load_yaml("world.yaml")["agents"]["intruder"])
        if attack.place == "home" and isinstance(attack.victim, Person):
            agent = attack.victim.agents["cli"]
        elsewhere = pick(chance, ELSEWHERE)
        stranger, time = letters(chance, "digit", 12), begin
        for number, deed in steps:
            action = self._action(chance, attack.victim, deed)
            region = elsewhere if deed.elsewhere else attack.account.region
            body = self._body(chance, action, deed, attack.account, region, stranger)
            error = (deed.error, dict(action.errors).get(deed.error, "")) if deed.error else None
            if deed.error == "Failure":
                error = ("Failure", "Failed authentication")
            step = Step(attack.number, number)
            attack.calls.append(
                Call(
                    time,
                    caller,
                    action,
                    attack.account,
                    region,
                    attack.address,
                    agent,
                    body,
                    error,
                    step=step,
                )
            )
            time += float(chance.lognormal(0.0, 0.5)) * deed.after

    def _action(self, chance: Generator, victim: Person | Machine, deed: Deed) -> Action:
        if deed.call != HABIT:
            return load_catalogue()[deed.call]
        if isinstance(victim, Machine):
            return pick(chance, victim.actions)
        habits = [victim.actions[i] for i in victim.habits[:OFTEN]]
        return pick(chance, habits)

    def _body(
        self,
        chance: Generator,
        action: Action,
        deed: Deed,
        account: Account,
        region: str,
        stranger: str,
    ) -> Body:
        if action.name == "ConsoleLogin":
            return console_login(deed.error or "Success", mfa=False)
        body = self.organisation.body(action, account, region, int(chance.integers(97)))
        if not deed.request:
            return body
        salt = str(chance.integers(1 << 30))
        request = self.organisation.fill(deed.request, account, region, salt, stranger=stranger)
        return Body(request, body.response, body.resources, body.additional)
