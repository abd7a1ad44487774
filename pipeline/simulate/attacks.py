"""Intruders: known stories, told under the identity of somebody of the organisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from numpy.random import Generator

from pipeline.simulate.catalogue import Action, load_catalogue, load_yaml
from pipeline.simulate.chance import letters, pick, stream
from pipeline.simulate.identity import Caller, access_key, iam_user
from pipeline.simulate.machines import Machine
from pipeline.simulate.organisation import Account, Body, Organisation
from pipeline.simulate.people import Person, Sitting
from pipeline.simulate.places import Place, address_in
from pipeline.simulate.records import DAY, Call, Step
from pipeline.simulate.signin import console_login
from pipeline.simulate.spec import COVERS
from pipeline.simulate.stories import HABIT, Deed, Story, load_stories

PLACES: Final = ("home", "far", "odd")
CAMOUFLAGE: Final = (3, 5, 10)
OFTEN: Final = 12
"""A victim's habits that count as often."""
ELSEWHERE: Final = ("ap-northeast-1", "sa-east-1", "ap-southeast-1", "us-west-2")
OWN_KEY: Final = 0.6
"""How often an IAM user's own key was stolen, not another one made for it."""
DAYS: Final = 8
"""Days that a slow attack may take, mostly."""
APART: Final = 2.5 * 3600
"""Seconds between an intruder who is alone and the victim's own work."""

Victim = Person | Machine


@dataclass(slots=True)
class Attack:
    """A story laid over a victim."""

    number: int
    story: Story
    victim: Victim
    caller: Caller
    account: Account
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

    def lay(self) -> None:
        """Lay every story, as often as there are rounds."""
        covers = COVERS[1:] if self.spec.cover == COVERS[0] else (self.spec.cover,)
        for turn in range(self.spec.rounds):
            for number, story in enumerate(load_stories()):
                place = PLACES[(number + turn) % len(PLACES)]
                cover = covers[(number // len(PLACES) + turn + turn // 3) % len(covers)]
                self._lay(story, turn, place, cover)

    def calls(self, day: int) -> list[Call]:
        """What intruders do on a day; on the last one, what is left too."""
        begin = self.spec.epoch + day * DAY
        end = begin + DAY if day < self.spec.days - 1 else float("inf")
        return [c for attack in self.attacks for c in attack.calls if begin <= c.time < end]

    def _lay(self, story: Story, turn: int, place: str, cover: str) -> None:
        chance = stream(self.spec.seed, "attack", story.name, turn)
        victim = self._victim(chance, story)
        begin = self._begin(chance, victim, place, cover)
        address, city = self._from(chance, victim, place, begin)
        caller, account = self._stolen(chance, victim, begin)
        number = len(self.attacks)
        attack = Attack(number, story, victim, caller, account, place, cover, address, city)
        self._play(chance, attack, begin)
        self.attacks.append(attack)

    def _victim(self, chance: Generator, story: Story) -> Victim:
        """Somebody who fits, and has lived long enough to have habits."""
        kind = pick(chance, story.victims)
        if kind == "machine":
            return pick(chance, self.machines)
        early = self.spec.days // 2
        known = [person for person in self.people if any(person.sittings[:early])]
        if kind == "iam":
            known = [person for person in known if person.member.accesses[0].kind == "iam"]
        return pick(chance, known or self.people)

    def _stolen(self, chance: Generator, victim: Victim, begin: float) -> tuple[Caller, Account]:
        """The victim's lasting key, or other credentials of theirs."""
        if isinstance(victim, Machine):
            return victim.fleet.stolen(chance, begin), victim.account
        member = victim.member
        access = member.way_in(chance, mighty=True)
        if access.role is not None:
            return member.caller(chance, access, begin, console=False), access.account
        key = member.key if chance.random() < OWN_KEY else access_key(chance, lasting=True)
        return iam_user(access.account, victim.name, member.user_id, key), access.account

    def _begin(self, chance: Generator, victim: Victim, place: str, cover: str) -> float:
        """A moment in the second half: while the victim works, or well away from that."""
        first, last = self.spec.days // 2, self.spec.days
        sittings: list[Sitting] = []
        if isinstance(victim, Person):
            sittings = [sitting for day in victim.sittings[first:] for sitting in day]
        if cover == "busy" and sittings:
            return pick(chance, sittings).begin + float(chance.uniform(30, 600))
        if cover == "slow":  # with days left, if there are that many
            last = max(first + 1, last - DAYS)
        begin = 0.0
        for _ in range(40):
            hours = (0, 23) if place == "far" else (8, 18)
            day, hour = int(chance.integers(first, last)), float(chance.uniform(*hours))
            begin = self.spec.epoch + day * DAY + hour * 3600
            if all(abs(begin - sitting.begin) > APART for sitting in sittings):
                break
        return begin

    def _from(
        self, chance: Generator, victim: Victim, place: str, begin: float
    ) -> tuple[str, Place]:
        """Where the intruder comes from, and which city that is."""
        organisation = self.organisation
        if place == "far":
            city = pick(chance, organisation.strange_cities)
            return address_in(chance, (*city.hosting, *city.home)), city
        if place == "odd":
            own = victim.whereabouts.places if isinstance(victim, Person) else set()
            city = pick(chance, [each for each in organisation.homes if each.key not in own])
            return address_in(chance, city.home), city
        if isinstance(victim, Machine):
            return victim.fleet.where(chance, 0, begin)
        return victim.whereabouts.home(int(begin - self.spec.epoch) // DAY)

    def _play(self, chance: Generator, attack: Attack, time: float) -> None:
        """The story's calls, and among them what makes them look like the victim's."""
        steps = self._steps(chance, attack)
        agent: str = pick(chance, load_yaml("world.yaml")["agents"]["intruder"])
        if attack.place == "home" and isinstance(attack.victim, Person):
            agent = attack.victim.tools.agent("cli", int(time - self.spec.epoch) // DAY)
        elsewhere, stranger = pick(chance, ELSEWHERE), letters(chance, "digit", 12)
        rest = min(DAY, (self._end - time) / len(steps))
        for number, deed in steps:
            region = elsewhere if deed.elsewhere else attack.account.region
            action = self._action(chance, attack.victim, deed)
            call = Call(
                time=time,
                caller=attack.caller,
                action=action,
                account=attack.account,
                region=region,
                address=attack.address,
                agent=agent,
                body=self._body(chance, action, deed, attack.account, region, stranger),
                error=_error(action, deed),
                step=Step(attack.number, number),
            )
            attack.calls.append(call)
            if attack.cover == "slow":
                time += rest * float(chance.uniform(0.9, 1.0))
            else:
                time += float(chance.lognormal(0.0, 0.5)) * deed.after

    @property
    def _end(self) -> float:
        """When the last of a slow attack's calls has to be made."""
        return float(self.spec.epoch + self.spec.days * DAY)

    def _steps(self, chance: Generator, attack: Attack) -> list[tuple[int, Deed]]:
        """Numbered deeds, and with 0 what the victim does often; who is slow does nothing twice."""
        steps: list[tuple[int, Deed]] = []
        for number, deed in enumerate(attack.story.deeds, 1):
            again = any(deed.call == other.call for _, other in steps)
            if attack.cover != "slow" or deed.call == HABIT:
                steps += [(number, deed)] * deed.times
            elif not again:
                steps.append((number, deed))
        for _ in range(self._camouflage(chance, attack)):
            steps.insert(int(chance.integers(0, len(steps) + 1)), (0, Deed(HABIT)))
        return steps

    def _camouflage(self, chance: Generator, attack: Attack) -> int:
        """How many calls that the victim makes often are among the intruder's."""
        return pick(chance, CAMOUFLAGE) if attack.cover == "camouflaged" else 0

    def _action(self, chance: Generator, victim: Victim, deed: Deed) -> Action:
        if deed.call != HABIT:
            return load_catalogue()[deed.call]
        if isinstance(victim, Machine):
            return pick(chance, victim.actions)
        return pick(chance, victim.habits.often(OFTEN))

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
        salt = int(chance.integers(1 << 30))
        body = self.organisation.body(action, account, region, salt)
        if not deed.request:
            return body
        fill = self.organisation.fill
        request = fill(deed.request, account, region, str(salt), stranger=stranger)
        return Body(request, body.response, body.resources, body.additional)


def _error(action: Action, deed: Deed) -> tuple[str, str] | None:
    if not deed.error:
        return None
    words = "Failed authentication" if deed.error == "Failure" else ""
    return deed.error, words or dict(action.errors).get(deed.error, "")
