"""Who may do what over D-Bus: the caller's user by the bus, the decision by polkit.

On a session bus only its own user speaks. On the system bus root may do everything, and all others
what polkit says. A polkit that is absent leaves what needs no authentication by our own policy
file: reading, and acting on one's own workspaces. One that hangs leaves nothing, as nobody can tell
what the administrator has restricted. Everything waits for a bounded time, and for itself alone.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from dataclasses import dataclass
from typing import Any, Protocol

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from guestwake.application import Application
from guestwake.edges.dbus_words import (
    DENIED,
    DISTURBS,
    ERROR_PREFIX,
    NEEDS_AUTHENTICATION,
    SHARED,
    UNDECIDED,
    Action,
    Problem,
)
from guestwake.edges.text import printable
from guestwake.paths import account_name
from guestwake.workspaces import Workspace

_BUS_PATIENCE = 5.0  # seconds
_PATIENCE = 10.0
_PATIENCE_WITH_A_PERSON = 120.0  # who is asked for a password
_KNOWN_MAX = 256  # callers whose user id is remembered; a bus never gives a unique name twice

_POLKIT = "org.freedesktop.PolicyKit1"
_AUTHORITY = "/org/freedesktop/PolicyKit1/Authority"
_AUTHORITY_INTERFACE = "org.freedesktop.PolicyKit1.Authority"
_ALLOW_USER_INTERACTION = 1
_ABSENT = (
    "org.freedesktop.DBus.Error.ServiceUnknown",
    "org.freedesktop.DBus.Error.NameHasNoOwner",
)


class Refused(Exception):
    """A call that comes to nothing: our error, and a sentence with its remedy."""

    def __init__(self, problem: Problem, sentence: str) -> None:
        super().__init__(sentence)
        self.name = f"{ERROR_PREFIX}{problem.name}"


@dataclass(frozen=True, slots=True)
class Request:
    """`caller`: its unique name. `workspace` None: it is of no workspace, or of all. `may_ask`:
    the caller waits while a person is asked for a password. `setting`: what the caller calls it."""

    caller: str
    action: Action
    workspace: Workspace | None
    may_ask: bool
    setting: str | None = None
    method: str = ""


class Guard(Protocol):
    async def check(self, uid: int, request: Request) -> None:
        """`uid`: the caller's user. Raises Refused."""
        ...


class SameUser:
    """For a session bus: who runs this service, and root."""

    async def check(self, uid: int, request: Request) -> None:
        if uid not in (os.geteuid(), 0):
            raise Refused(DENIED, "This is another user's Guestwake; call as that user.")


class Polkit:
    """For the system bus. `patience`: seconds for an answer without a person, and with one."""

    def __init__(
        self,
        bus: MessageBus,
        application: Application,
        *,
        patience: tuple[float, float] = (_PATIENCE, _PATIENCE_WITH_A_PERSON),
    ) -> None:
        self._bus = bus
        self._application = application
        self._patience = patience
        self._calls = itertools.count(1)

    async def check(self, uid: int, request: Request) -> None:
        if uid != 0:
            # The user database may be far away: not in the thread that serves everybody.
            loop = asyncio.get_running_loop()
            action = await loop.run_in_executor(None, self._action, uid, request)
            await self._ask_for(action, request)

    def _action(self, uid: int, request: Request) -> Action:
        """What that user must be allowed. Raises Refused, SettingsError."""
        workspace = request.workspace
        if request.action is not Action.ACT or workspace is None:
            return request.action
        user = account_name(uid)
        if user == workspace.owner:
            return Action.ACT_OWN
        if request.method not in DISTURBS:
            return Action.ACT
        logged_on = {each.user for each in self._application.host.logons() or ()}
        if self._application.resolved(workspace).limits.multi_user_enabled:
            shares = request.method in SHARED and user in logged_on
            return Action.ACT_OWN if shares else Action.ACT
        if workspace.owner in logged_on:
            raise Refused(
                DENIED,
                f"'{workspace.name}' belongs to {workspace.owner}, who is logged on: only they and "
                "root may do this now. With MultiUserEnabled 1 its applications are for all.",
            )
        return Action.ACT

    async def _ask_for(self, action: Action, request: Request) -> None:
        """Raises Refused."""
        answer = await self._ask(action, request)
        if answer is None:
            if action is Action.ACT:
                raise Refused(
                    DENIED,
                    "polkit does not run, so only root and the owner of a workspace may act on it: "
                    "call as one of them, or start polkit.",
                )
            if action is Action.SETTINGS:
                raise Refused(
                    DENIED,
                    "polkit does not run, so only root may change the host's settings: call as "
                    "root, or start polkit.",
                )
            return
        authorized, challenge = answer
        if authorized:
            return
        if challenge and not request.may_ask:
            raise Refused(
                NEEDS_AUTHENTICATION,
                f"'{action}' needs an authentication: allow for it in the call, or call as root.",
            )
        raise Refused(
            DENIED,
            f"polkit refuses '{action}': call as root, "
            + ("" if action is Action.SETTINGS else "or as the owner of the workspace, ")
            + "or ask the administrator for a rule.",
        )

    async def _ask(self, action: Action, request: Request) -> tuple[bool, bool] | None:
        """Authorized, and else whether an authentication would do. None: polkit is absent."""
        details = _details(request)
        cancel = f"guestwake-{os.getpid()}-{next(self._calls)}"
        subject = ["system-bus-name", {"name": Variant("s", request.caller)}]
        flags = _ALLOW_USER_INTERACTION if request.may_ask else 0
        call = self._call(
            "CheckAuthorization",
            "(sa{sv})sa{ss}us",
            [subject, action.value, details, flags, cancel],
        )
        try:
            async with asyncio.timeout(self._patience[request.may_ask]):
                reply = await self._bus.call(call)
        except TimeoutError as err:
            self._bus.send(self._call("CancelCheckAuthorization", "s", [cancel], answers=False))
            raise Refused(
                UNDECIDED,
                "polkit did not answer in time, so nobody can tell whether this is allowed: call "
                "again, or call as root. 'systemctl status polkit' tells how it is.",
            ) from err
        match reply:
            case Message(message_type=MessageType.METHOD_RETURN, body=[[bool(yes), bool(may), _]]):
                return yes, may
            case Message(error_name=name) if name in _ABSENT:
                return None
        said = printable(str(reply.error_name if reply else "nothing"))
        raise Refused(UNDECIDED, f"polkit could not tell whether this is allowed: {said}.")

    def _call(
        self, member: str, signature: str, body: list[Any], *, answers: bool = True
    ) -> Message:
        from dbus_fast import MessageFlag

        return Message(
            destination=_POLKIT,
            path=_AUTHORITY,
            interface=_AUTHORITY_INTERFACE,
            member=member,
            signature=signature,
            body=body,
            flags=MessageFlag.NONE if answers else MessageFlag.NO_REPLY_EXPECTED,
        )


class Users:
    """User ids of callers, by the bus."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus
        self._known: dict[str, int] = {}

    def known(self, caller: str) -> int | None:
        """None: nobody has asked about that one yet."""
        return self._known.get(caller)

    async def uid_of(self, caller: str) -> int:
        """Raises Refused."""
        if caller not in self._known:
            if len(self._known) >= _KNOWN_MAX:
                del self._known[next(iter(self._known))]
            self._known[caller] = await self._asked(caller)
        return self._known[caller]

    async def _asked(self, caller: str) -> int:
        call = Message(
            destination="org.freedesktop.DBus",
            path="/org/freedesktop/DBus",
            interface="org.freedesktop.DBus",
            member="GetConnectionUnixUser",
            signature="s",
            body=[caller],
        )
        try:
            async with asyncio.timeout(_BUS_PATIENCE):
                reply = await self._bus.call(call)
        except TimeoutError as err:
            raise Refused(UNDECIDED, "The bus does not tell who calls. Call again.") from err
        match reply:
            case Message(message_type=MessageType.METHOD_RETURN, body=[int(uid)]):
                return uid
        raise Refused(UNDECIDED, "The bus cannot tell who calls.")


def _details(request: Request) -> dict[str, str]:
    """For the administrator's own rules: `action.lookup("workspace")`."""
    setting = {"setting": printable(request.setting[:80])} if request.setting else {}
    if request.workspace is None:
        return setting
    return {
        **setting,
        "workspace": printable(request.workspace.name),
        "uuid": request.workspace.uuid,
        "owner": request.workspace.owner or "",
    }
