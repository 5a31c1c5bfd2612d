"""The rule of identity: two that begin alike are two once their answers differ, and edits keep a conversation one."""

from __future__ import annotations

import json
import string
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sale.server.gateway.identity import (
    MIN_ANSWER_BYTES,
    MIN_LINK_BYTES,
    KnownConversation,
    ServedTurn,
    match_conversation,
    read_thread,
)
from tests.support.replies import Json

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
OWNER = "k"
LONG = "x" * MIN_LINK_BYTES


def user(words: str) -> Json:
    return {"role": "user", "content": words}


def said(words: str, *calls: Json) -> Json:
    return {"role": "assistant", "content": words, **({"tool_calls": list(calls)} if calls else {})}


def call(name: str, arguments: str, call_id: str = "c") -> Json:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


@dataclass
class Kept:
    """The gateway's memory of conversations: what each turn leaves, and nothing else."""

    all: dict[str, list[ServedTurn]] = field(default_factory=dict[str, list[ServedTurn]])
    seen: dict[str, int] = field(default_factory=dict[str, int])
    turns: int = 0

    def match(self, messages: list[Json], owner: str = OWNER, cache_key: str | None = None) -> str | None:
        found = match_conversation(read_thread(messages, owner, cache_key), [self._known(name) for name in self.all])
        return None if found is None else found.place[1]

    def serve(self, messages: list[Json], answer: Json, owner: str = OWNER, cache_key: str | None = None) -> str:
        """Answer a request; returns its conversation, begun if need be."""
        name = self.match(messages, owner, cache_key) or f"c{len(self.all)}"
        self.turns += 1
        self.seen[name] = self.turns
        self.all.setdefault(name, []).append(read_thread(messages, owner, cache_key).serve(answer))
        return name

    def _known(self, name: str) -> KnownConversation:
        turns = self.all[name]
        digests = {one for turn in turns for one in (turn.tail, turn.talk, turn.link, turn.hint)} - {""}
        at = NOON + timedelta(minutes=self.seen[name])
        return KnownConversation(place=("", name), digests=digests, latest=turns[-1], seen=at)


@dataclass
class Person:
    """A client that sends the whole conversation with every turn."""

    kept: Kept
    messages: list[Json] = field(default_factory=list[Json])
    names: list[str] = field(default_factory=list[str])

    def ask(self, words: str, answer: Json) -> str:
        self.messages.append(user(words))
        name = self.kept.serve(self.messages, answer)
        self.messages.append(answer)
        self.names.append(name)
        return name


FEW = st.sampled_from(["hi", "yes", "no", "go on"])
ANSWERS = st.sampled_from(["hello", "ok", "good", "bad", LONG, f"{LONG}!"])


@given(st.lists(st.tuples(st.integers(0, 2), FEW, ANSWERS), max_size=12))
def test_people_who_begin_alike_are_as_many_conversations(steps: list[tuple[int, str, str]]) -> None:
    """Whatever they say later, and in whichever order, once their first answers differ."""
    kept = Kept()
    people = [Person(kept), Person(kept), Person(kept)]
    begun = [person.ask("hi", said(f"hello {place}")) for place, person in enumerate(people)]
    assert len(set(begun)) == 3
    for who, words, answer in steps:
        people[who].ask(words, said(answer))
    assert [set(person.names) for person in people] == [{name} for name in begun]


@given(st.lists(st.tuples(st.booleans(), FEW), max_size=8))
def test_two_who_are_answered_alike_stay_two(steps: list[tuple[bool, str]]) -> None:
    """Each goes on with one that waits for just this, so nobody is taken for a third, and nothing is auctioned anew."""
    kept = Kept()
    people = [Person(kept), Person(kept)]
    for person in people:
        person.ask("hi", said("hello"))
    for second, words in steps:
        people[second].ask(words, said("ok"))
    assert set(kept.all) == {"c0", "c1"}
    mine, yours = Person(kept), Person(kept)
    names = [person.ask("apart", said(f"answer {place}")) for place, person in enumerate((mine, yours))]
    for words in ("one", "two"):
        assert [mine.ask(words, said("ok")), yours.ask(words, said("ok"))] == names


TEXTS = st.text(string.printable, max_size=30)


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=2, max_size=6), st.data())
def test_another_owner_is_never_told(turns: list[tuple[str, str]], data: st.DataObject) -> None:
    kept = Kept()
    person = Person(kept)
    for words, answer in turns:
        person.ask(words, said(answer + LONG))
    upto = data.draw(st.integers(1, len(turns))) * 2
    assert kept.match([*person.messages[:upto], user("next")], owner="another", cache_key="app") is None


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=2, max_size=6), st.data())
def test_an_edited_history_is_the_same_conversation(turns: list[tuple[str, str]], data: st.DataObject) -> None:
    """One message before the latest exchange is changed or left out, as clients do to save tokens."""
    kept = Kept()
    other, person = Person(kept), Person(kept)
    other.ask(turns[0][0], said("another answer"))
    for number, (words, answer) in enumerate(turns):
        person.ask(words, said(f"{number} {answer} {LONG}"))
    history = list(person.messages)
    place = data.draw(st.integers(0, len(history) - 3))
    if data.draw(st.booleans()):
        history[place] = history[place] | {"content": "[left out]"}
    else:
        del history[place]
    assert kept.match([*history, user("next")]) == person.names[0]


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=3, max_size=6))
def test_a_compacted_history_is_the_same_conversation(turns: list[tuple[str, str]]) -> None:
    kept = Kept()
    person = Person(kept)
    for number, (words, answer) in enumerate(turns):
        person.ask(words, said(f"{number} {answer} {LONG}"))
    summary = [{"role": "system", "content": "You are a coder."}, user("What happened so far: much.")]
    assert kept.match([*summary, said("I see."), *person.messages[-2:], user("next")]) == person.names[0]


def test_a_client_that_writes_its_own_words_anew_is_known_by_a_long_answer() -> None:
    """As aider does: once a message is answered, the reminder at its end and the files in the middle are left out."""
    kept = Kept()
    answers = [said(f"{number} {'x' * MIN_ANSWER_BYTES}") for number in (1, 2)]
    files = [user("These are the files."), said("Ok, any changes will be to those files.")]
    names = [kept.serve([*files, user("Mend it. Write whole files.")], answer) for answer in answers]
    for name, answer in zip(names, answers, strict=True):
        history = [user("Mend it."), answer, user("I committed it."), said("Ok."), *files]
        assert kept.match([*history, user("The test fails. Write whole files.")]) == name
    short = kept.serve([user("Mend it. Write whole files.")], said("x" * (MIN_ANSWER_BYTES - 1)))
    assert kept.match([user("Mend it."), said("x" * (MIN_ANSWER_BYTES - 1)), user("on")]) != short


@given(st.lists(st.integers(0, 10**12), min_size=2, max_size=5))
@example([959, 1000])
def test_a_clock_in_the_system_message_makes_no_other_conversation(times: list[int]) -> None:
    """Not even where the client writes the answers in other words."""
    kept = Kept()
    names: set[str] = set()
    messages: list[Json] = [user("What is 6 × 7?")]
    for number, time in enumerate(times):
        names.add(kept.serve([{"role": "system", "content": f"It is {time}."}, *messages], said("The answer is 42.")))
        messages += [said("42"), user(f"And {number}?")]
    assert names == {"c0"}


class TestAnswers:
    @pytest.mark.parametrize(
        "shown",
        [
            said(" The  answer\nis 42. "),
            said("<think>six times seven</think>\n\nThe answer is 42."),
            said("<THINK>six times seven</THINK>\n\nThe answer is 42."),
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "The answer "}, {"type": "text", "text": "is 42."}],
            },
            {
                "role": "assistant",
                "content": "The answer is 42.",
                "reasoning_content": "six times seven",
                "refusal": None,
            },
        ],
        ids=["blanks", "thoughts", "capitals", "parts", "fields"],
    )
    def test_other_ways_to_write_an_answer_are_that_answer(self, shown: Json) -> None:
        kept = Kept()
        kept.serve([user("hi")], said("Another."))
        mine = kept.serve([user("hi")], said("The answer is 42."))
        kept.serve([user("hi")], said("A third."))
        assert kept.match([user("hi"), shown, user("on")]) == mine

    def test_calls_tell_conversations_apart_and_their_ids_and_blanks_do_not(self) -> None:
        kept = Kept()
        names = [kept.serve([user("hi")], said("", call("read", json.dumps({"a": place, "b": 1})))) for place in (1, 2)]
        assert len(set(names)) == 2
        for place, name in zip((1, 2), names, strict=True):
            again = said("", call("read", f'{{ "b":1, "a": {place}}}', "toolu_other"))
            result = {"role": "tool", "tool_call_id": "toolu_other", "content": "fine"}
            assert kept.match([user("hi"), again, result]) == name

    @pytest.mark.parametrize("arguments", ["", "{", "[" * 2000, "NaN"])
    def test_arguments_of_any_kind_have_a_digest(self, arguments: str) -> None:
        kept = Kept()
        answer = said("", call("read", arguments))
        kept.serve([user("hi")], said("no"))
        name = kept.serve([user("hi")], answer)
        assert kept.match([user("hi"), answer, user("on")]) == name


class TestDoubt:
    def test_an_answer_from_elsewhere_between_two_is_neithers(self) -> None:
        kept = Kept()
        kept.serve([user("hi")], said("hello 1"))
        kept.serve([user("hi")], said("hello 2"))
        assert kept.match([user("hi"), said("hello 3"), user("on")]) is None

    def test_an_answer_from_elsewhere_is_the_one_conversation_that_waits(self) -> None:
        kept = Kept()
        one, two = Person(kept), Person(kept)
        one.ask("hi", said("hello 1"))
        waiting = two.ask("hi", said("hello 2"))
        one.ask("on", said("fine"))
        assert kept.match([user("hi"), said("hello 3"), user("on")]) == waiting

    def test_a_short_exchange_tells_nothing(self) -> None:
        kept = Kept()
        person = Person(kept)
        person.ask("hi", said("hello"))
        person.ask("really?", said("yes"))
        assert kept.match([user("good morning"), said("hm"), user("really?"), said("yes"), user("on")]) is None

    def test_an_exchange_that_two_have_had_tells_nothing(self) -> None:
        kept = Kept()
        for words in ("one", "two"):
            person = Person(kept)
            person.ask(words, said(words))
            person.ask(LONG, said(LONG))
        assert kept.match([user("three"), said("hm"), user(LONG), said(LONG), user("on")]) is None

    def test_a_client_goes_back_to_an_earlier_turn(self) -> None:
        kept = Kept()
        person = Person(kept)
        for number in range(4):
            person.ask(f"question {number}", said(f"answer {number}"))
        assert kept.match([*person.messages[:4], user("something else")]) == person.names[0]

    def test_the_same_beginning_again_begins_again(self) -> None:
        kept = Kept()
        kept.serve([user("hi")], said("hello"))
        assert kept.match([user("hi")]) is None


class TestHints:
    def test_a_cache_key_with_the_same_first_words_keeps_a_conversation_one(self) -> None:
        kept = Kept()
        name = kept.serve([{"role": "system", "content": "Be brief."}, user("hi")], said("hello"), cache_key="app")
        changed = [{"role": "system", "content": "Be polite."}, user("hi"), said("Hello!"), user("on")]
        assert kept.match(changed, cache_key="app") == name
        assert kept.match(changed, cache_key="another") is None
        assert kept.match(changed) is None

    def test_a_cache_key_for_everything_makes_nobody_one_with_others(self) -> None:
        kept = Kept()
        names = [kept.serve([user("hi")], said(f"hello {place}"), cache_key="app") for place in (1, 2)]
        assert len(set(names)) == 2
        for place, name in zip((1, 2), names, strict=True):
            assert kept.match([user("hi"), said(f"hello {place}"), user("on")], cache_key="app") == name


def test_an_answer_that_the_client_began_is_part_of_it() -> None:
    kept = Kept()
    kept.serve([user("hi")], said("other"))
    name = kept.serve([user("hi"), said("The answer")], said(" is 42."))
    assert kept.match([user("hi"), said("The answer is 42."), user("on")]) == name
