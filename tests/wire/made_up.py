"""Strategies for hypothesis: every message that can be said, within its bounds."""

from __future__ import annotations

from hypothesis import strategies as st

from guestwake_wire import messages
from guestwake_wire.messages import (
    CLIENTS_MAX,
    NAME_MAX,
    REASONS_MAX,
    SECONDS_MAX,
    SESSIONS_MAX,
    TEXT_MAX,
    TIME_MAX,
    VERSIONS_MAX,
    Client,
    ClientState,
    Hello,
    Installed,
    Message,
    Nudge,
    Reason,
    Report,
    RestartNotice,
    Session,
    SessionKind,
    Strength,
    Window,
    WindowOver,
)

_CHARACTERS = st.characters(exclude_categories=("C", "Z"), include_characters=" ").filter(
    str.isprintable  # hypothesis may know of newer characters than this Python
)


def texts(most: int, least: int = 0) -> st.SearchStrategy[str]:
    return st.text(_CHARACTERS, min_size=least, max_size=most)


names = texts(NAME_MAX, 1)
maybe_names = texts(NAME_MAX)
sentences = texts(TEXT_MAX)
seconds = st.integers(0, SECONDS_MAX)
times = st.integers(0, TIME_MAX)

hellos = st.builds(Hello, st.lists(seconds, max_size=VERSIONS_MAX).map(tuple), maybe_names)
reasons = st.builds(Reason, names, st.sampled_from(Strength), st.none() | seconds, sentences)
installed = st.builds(Installed, names, maybe_names, times)
clients = st.builds(
    Client,
    *(names, st.sampled_from(ClientState)),
    *(st.lists(installed, max_size=4).map(tuple), seconds),
)
sessions = st.builds(
    Session,
    *(maybe_names, st.sampled_from(SessionKind), seconds),
    st.none() | st.integers(-1, SECONDS_MAX),
)
reports = st.builds(
    Report,
    number=st.integers(1, SECONDS_MAX),
    time=times,
    boot_id=names,
    agent=maybe_names,
    os=sentences,
    kernel=sentences,
    busy=st.none() | st.booleans(),
    restart=st.lists(reasons, max_size=REASONS_MAX).map(tuple),
    clients=st.lists(clients, max_size=CLIENTS_MAX).map(tuple),
    sessions=st.lists(sessions, max_size=SESSIONS_MAX).map(tuple),
)
host_words: st.SearchStrategy[Message] = st.one_of(
    st.builds(Window, seconds, seconds),
    st.just(Nudge()),
    st.builds(RestartNotice, seconds),
    st.just(WindowOver()),
)


def _fits(message: Message) -> bool:
    try:
        messages.encode(message)
    except ValueError:
        return False
    return True


guest_words: st.SearchStrategy[Message] = st.one_of(hellos, reports).filter(_fits)
every_message: st.SearchStrategy[Message] = guest_words | host_words
