"""What the files of recorded/v1 hold: bytes of version 1, a message each, made once by the code of
that version and only ever read since. A line here changes only together with the protocol's
version; new fields get new files."""

from __future__ import annotations

from guestwake_wire.messages import (
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

BOOT = "2f1c9b1e-6f0d-4a53-9a51-0c1d8a3c7f42"
AGENT = "guestwake-guest 0.1.0"
DEBIAN = "Debian GNU/Linux 12 (bookworm)"

VALUES: dict[str, Message] = {
    "hello-guest": Hello((1,), AGENT),
    "hello-host": Hello((1,), "guestwake 0.1.0"),
    "hello-many-versions": Hello((1, 2, 3, 2**31 - 1), ""),
    "report-quiet": Report(1, 1795575600, BOOT, AGENT, DEBIAN, "6.1.0-28-amd64", busy=False),
    "report-knows-nothing": Report(1, 0, "b", "", "", "", busy=None),
    "report-busy": Report(
        number=12,
        time=1795575700,
        boot_id=BOOT,
        agent=AGENT,
        os=DEBIAN,
        kernel="6.1.0-28-amd64",
        busy=True,
        restart=(
            Reason("reboot-required", Strength.STRONG, 95, "linux-image-6.1.0-29-amd64"),
            Reason("kernel-modules", Strength.WEAK, None, ""),
        ),
        clients=(
            Client("apt", ClientState.BUSY, (Installed("guestwake-example", "2.0", 1795575505),)),
            Client("flatpak", ClientState.UNKNOWN),
            Client("snap", ClientState.IDLE, more=3),
            Client("dnf", ClientState.NOTHING_LEFT),
        ),
        sessions=(
            Session("zoë", SessionKind.GRAPHICAL, 3600, -1),
            Session("root", SessionKind.REMOTE, 60, 2),
            Session("", SessionKind.TEXT, 0, None),
        ),
    ),
    "report-other-scripts": Report(
        number=2**31 - 1,
        time=2**36,
        boot_id="ブート",
        agent='quotes " and \\ and /',
        os="שלום 🐧 %s %n",
        kernel="",
        busy=None,
    ),
    "window": Window(14400, 3),
    "nudge": Nudge(),
    "restart-notice": RestartNotice(600),
    "window-over": WindowOver(),
}
