"""The D-Bus API on a real host: a real polkit says no, a hypervisor that hangs hinders nobody."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from lab.host import Host, Session

SERVICE = "org.guestwake.Manager1"
PATH = "/org/guestwake/Manager1"


def serve(host: Host, owner: str | None = None) -> str:
    """The service over one workspace, `web01`, of `owner` or the system; the path of its object.
    The VM is real, and off."""
    host.off_guest("web01", boots=False)
    whose = ["--system"] if owner is None else ["--owner", owner]
    host.run("guestwake", "workspace", "add", "web01", "--uri", "qemu:///system", *whose)
    host.run("systemctl", "start", "guestwake.service")
    host.wait_until(lambda: SERVICE in host.run("busctl", "list", "--acquired"))
    ((path,), *_) = [_data(host.run(*_busctl("get-property", PATH, SERVICE, "Workspaces")))]
    return str(path)


def _busctl(verb: str, *words: str) -> list[str]:
    options = ["--json=short", "--allow-interactive-authorization=no"]
    return ["busctl", *options, verb, SERVICE, *words]


def _data(said: str) -> list[object]:
    data = json.loads(said)["data"]
    return data if isinstance(data, list) else [data]


def _pause(session: Session, path: str) -> str:
    """What a caller is told. Empty: it was done."""
    command = _busctl("call", path, "org.guestwake.Workspace1", "Pause", "t", "0")
    done = session.host.finish(*command, user=session.user, session=session.id)
    return done.stderr.strip() or ("" if done.returncode == 0 else "refused")


def _is_paused(host: Host, path: str) -> bool:
    words = _busctl("get-property", path, "org.guestwake.Workspace1", "Paused")
    return _data(host.run(*words)) == [True]


def test_the_first_call_starts_it_and_status_does_not(lab_host: Host) -> None:
    anna = lab_host.logon("anna", "graphical")
    assert "no workspace yet" in anna.run("guestwake", "status")
    assert "inactive" in lab_host.run("systemctl", "is-active", "guestwake", check=False)
    assert _data(anna.run(*_busctl("call", PATH, SERVICE, "Status"))) == ["[]"]
    assert "active" in lab_host.run("systemctl", "is-active", "guestwake")


def test_the_wrong_user_reads_and_does_not_act(lab_host: Host) -> None:
    path = serve(lab_host, owner="bert")
    anna = lab_host.logon("anna", "graphical")
    assert "needs an authentication" in _pause(anna, path)
    assert not _is_paused(lab_host, path)
    assert "web01" in anna.run("guestwake", "status")
    done = lab_host.finish("guestwake", "pause", "web01", user="anna", session=anna.id)
    assert done.returncode == 17, done.stderr
    assert not _is_paused(lab_host, path)


def test_the_owner_acts_wherever_they_sit(lab_host: Host) -> None:
    path = serve(lab_host, owner="bert")
    for kind in ("graphical", "text", "ssh"):
        bert = lab_host.logon("bert", kind)
        assert _pause(bert, path) == "", kind
        assert _is_paused(lab_host, path)
        assert "has its windows again" in bert.run("guestwake", "resume", "web01")
        assert not _is_paused(lab_host, path)
        bert.logoff()


def test_the_systems_workspaces_are_for_administrators_and_whom_they_let_in(
    lab_host: Host,
) -> None:
    path = serve(lab_host)
    anna = lab_host.logon("anna", "graphical")
    assert "needs an authentication" in _pause(anna, path)
    lab_host.run(*_busctl("call", path, "org.guestwake.Workspace1", "Pause", "t", "0"))
    assert _is_paused(lab_host, path)
    lab_host.run("guestwake", "resume", "web01")
    rule = (
        'polkit.addRule(function (action, subject) { if (action.id == "org.guestwake.act" && '
        'action.lookup("workspace") == "web01" && subject.user == "anna") '
        "{ return polkit.Result.YES; } });\n"
    )
    lab_host.put("/etc/polkit-1/rules.d/50-guestwake.rules", rule)
    lab_host.run("systemctl", "restart", "polkit")
    assert _pause(anna, path) == ""
    assert _is_paused(lab_host, path)
    assert "needs an authentication" in _pause(lab_host.logon("bert", "ssh"), path)


def test_settings_are_the_administrators_and_are_followed(lab_host: Host) -> None:
    path = serve(lab_host, owner="bert")
    uuid = path.rpartition("/")[2].replace("_", "-")
    lab_host.put("/etc/guestwake/policy.d/company.toml", "max_extension = 30\n")
    file, timer = "/etc/guestwake/guestwake.toml", f"guestwake-wake@{uuid}.timer"
    words = ("SetSetting", "sss", "web01", "GuestUpdateTime", "03:33")
    for user in ("anna", "bert"):  # whose it is makes no difference
        session = lab_host.logon(user, "graphical")
        done = lab_host.finish(*_call(*words), user=user, session=session.id)
        assert "needs an authentication" in done.stderr
    words_of_anna = ("settings", "set", "--machine", "GuestUpdateTime=03:33")
    done = lab_host.finish("guestwake", *words_of_anna, user="anna")
    assert (done.returncode, "refuses 'org.guestwake.settings'" in done.stderr) == (17, True)
    assert not lab_host.exists(file)

    ((said,), *_) = [json.loads(str(text)) for text in _data(lab_host.run(*_call(*words)))]
    assert (said["value"], said["counts"]) == ("03:33", True)
    assert lab_host.read(file) == f'[workspace.{uuid}]\nguest_update_time = "03:33"\n'
    assert lab_host.run("stat", "--format=%U %a", file) == "root 644\n"
    lab_host.wait_until(lambda: ":33:00 UTC" in lab_host.read(f"/etc/systemd/system/{timer}"))

    told = lab_host.run("guestwake", "settings", "set", "MaxAwake=3", "CloseAction=shutdown")
    assert "MaxAwake is 3 now: machine, /etc/guestwake/guestwake.toml:1" in told
    lab_host.run(*_call("ClearSetting", "ss", uuid, "GuestUpdateTime"))
    assert lab_host.read(file) == 'max_awake = 3\nclose_action = "SHUTDOWN"\n'
    lab_host.wait_until(lambda: ":33:00 UTC" not in lab_host.read(f"/etc/systemd/system/{timer}"))


def _call(*words: str) -> list[str]:
    """A method of Manager1."""
    return _busctl("call", PATH, SERVICE, *words)


def test_status_is_served_while_libvirt_hangs(lab_host: Host) -> None:
    path = serve(lab_host)
    anna = lab_host.logon("anna", "graphical")
    lab_host.run("systemctl", "kill", "--signal=STOP", "libvirtd.service")
    try:
        said = anna.run(*_busctl("call", PATH, SERVICE, "Status"), timeout=10)
        ((status,), *_) = [json.loads(str(text)) for text in _data(said)]
        assert status["workspace"] == "web01"
        assert "web01" in anna.run("guestwake", "status", timeout=10)
        until = str(int(datetime.now(UTC).timestamp()) + 3600)
        words = _busctl("call", path, "org.guestwake.Workspace1", "Hold", "ts", until, "a demo")
        lab_host.run(*words, timeout=10)
        assert "a demo" in anna.run("guestwake", "status", timeout=10)
    finally:
        lab_host.run("systemctl", "kill", "--signal=CONT", "libvirtd.service")


def test_who_is_not_the_service_cannot_have_its_name(lab_host: Host) -> None:
    words = ("RequestName", "su", SERVICE, "4")
    bus = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
    done = lab_host.finish("busctl", "call", *bus, *words, user="anna")
    assert done.returncode != 0
    assert "denied" in done.stderr.lower()
