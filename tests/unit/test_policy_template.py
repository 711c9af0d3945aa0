"""The Group Policy template: its form by the documented schema, and that what it sets is what is
read. No Group Policy is at hand: the editor is a double that does what the documentation says.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lxml import etree
from memory_registry import MemoryRegistry

from guestwake.paths import Paths
from guestwake.policy.limits import Limits
from guestwake.settings import Layer, Resolved, load, resolve
from guestwake.settings.registry import RegistrySource
from guestwake.settings.registry_keys import RegValue, dword, text, texts
from guestwake.settings.table import BY_NAME, SETTINGS, Choice, CommandLine, Number, Setting, Switch

FOLDER = Path(__file__).resolve().parents[2] / "packaging" / "windows" / "policy"
SCHEMA = etree.XMLSchema(etree.parse(Path(__file__).with_name("policy_definitions.xsd")))
TEMPLATE = etree.parse(FOLDER / "guestwake.admx")
WORDS = etree.parse(FOLDER / "en-US" / "guestwake.adml")
NAMES = {"p": "http://schemas.microsoft.com/GroupPolicy/2006/07/PolicyDefinitions"}
# Which box may show which element.
BOXES = {
    "decimal": "decimalTextBox",
    "text": "textBox",
    "multiText": "multiTextBox",
    "enum": "dropdownList",
}


def find(tree: etree._ElementTree | etree._Element, path: str) -> list[etree._Element]:
    return tree.findall(path, NAMES)


def only(tree: etree._ElementTree | etree._Element, path: str) -> etree._Element:
    (one,) = find(tree, path)
    return one


def policy(name: str) -> etree._Element:
    return only(TEMPLATE, f".//p:policy[@name='{name}']")


def box(name: str) -> etree._Element:
    (one,) = only(WORDS, f".//p:presentation[@id='{name}']")
    return one


def tag(element: etree._Element) -> str:
    return etree.QName(element).localname


class FakeEditor:
    """Group Policy's, and what of it applies the policy to a computer: as their documentation has
    it. It offers each box's default."""

    def __init__(self, host: Path) -> None:
        self.registry = MemoryRegistry()
        self.paths = Paths.under(host, 0)

    def enable(self, name: str, typed: str | None = None) -> None:
        """`typed` None: the value that the editor offers."""
        value = self._value(name, typed)
        self.registry.write(f"HKLM\\{policy(name).get('key')}", value)

    def disable(self, name: str) -> None:
        off = find(policy(name), "p:disabledValue/p:decimal")
        if off:
            value = dword(policy(name).get("valueName"), int(off[0].get("value")))
            self.registry.write(f"HKLM\\{policy(name).get('key')}", value)

    def resolved(self) -> Resolved:
        return resolve(load(self.paths, None, RegistrySource(self.paths, None, self.registry)))

    def _value(self, name: str, typed: str | None) -> RegValue:
        whole = policy(name)
        if on := find(whole, "p:enabledValue/p:decimal"):
            return dword(whole.get("valueName"), int(on[0].get("value")))
        (element,) = only(whole, "p:elements")
        to = element.get("valueName")
        match tag(element):
            case "decimal":
                number = int(box(name).get("defaultValue") if typed is None else typed)
                assert int(element.get("minValue")) <= number <= int(element.get("maxValue"))
                return dword(to, number)
            case "text":
                words = only(box(name), "p:defaultValue").text if typed is None else typed
                assert len(words) <= int(element.get("maxLength"))
                return text(to, words)
            case "multiText":
                lines = (typed or "all").splitlines()
                assert len(lines) <= int(element.get("maxStrings"))
                return texts(to, lines)
            case "enum":
                items = [each.text for each in find(element, "p:item/p:value/p:string")]
                return text(
                    to, items[int(box(name).get("defaultItem"))] if typed is None else typed
                )
        raise AssertionError(tag(element))


@pytest.fixture
def editor(tmp_path: Path) -> FakeEditor:
    return FakeEditor(tmp_path)


@pytest.mark.parametrize("file", [TEMPLATE, WORDS], ids=["admx", "adml"])
def test_it_has_the_form_of_the_schema(file: etree._ElementTree) -> None:
    SCHEMA.assertValid(file)


def test_the_schema_refuses_what_is_wrong() -> None:
    for path, attribute, wrong in (
        (".//p:policy", "class", "Everybody"),
        (".//p:policy", "displayName", "GuestUpdateTime"),
        (".//p:policy", "key", "SOFTWARE\\"),
        (".//p:decimal", "maxValue", "-1"),
        (".//p:enum/p:item", "displayName", "$(string.TURN-OFF)"),
    ):
        tree = etree.parse(FOLDER / "guestwake.admx")
        find(tree, path)[0].set(attribute, wrong)
        assert not SCHEMA.validate(tree), (path, attribute)


def test_every_reference_leads_somewhere_and_nothing_is_left_over() -> None:
    template = etree.tostring(TEMPLATE, encoding="unicode")
    strings = {each.get("id") for each in find(WORDS, ".//p:string")}
    presentations = {each.get("id") for each in find(WORDS, ".//p:presentation")}
    assert set(re.findall(r"\$\(string\.(\w+)\)", template)) == strings
    assert set(re.findall(r"\$\(presentation\.(\w+)\)", template)) == presentations
    categories = {each.get("name") for each in find(TEMPLATE, ".//p:category")}
    assert {each.get("ref") for each in find(TEMPLATE, ".//p:parentCategory")} <= categories
    (supported,) = find(TEMPLATE, ".//p:definition")
    refs = {each.get("ref") for each in find(TEMPLATE, ".//p:policy/p:supportedOn")}
    assert refs == {supported.get("name")}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_has_a_policy_in_its_key_with_its_range(setting: Setting) -> None:
    whole = policy(setting.name)
    assert whole.get("key") == rf"SOFTWARE\Policies\Microsoft\MEDV\v2\{setting.key}"
    assert whole.get("class") == "Both"
    if isinstance(setting.kind, Switch):
        assert (whole.get("valueName"), whole.get("presentation")) == (setting.name, None)
        return
    (element,) = only(whole, "p:elements")
    assert (element.get("id"), element.get("valueName")) == (setting.name, setting.name)
    assert tag(box(setting.name)) == BOXES[tag(element)]
    assert box(setting.name).get("refId") == setting.name
    match setting.kind:
        case Number(low=low, high=high):
            assert (element.get("minValue"), element.get("maxValue")) == (str(low), str(high))
        case Choice(words=words):
            offered = [each.text for each in find(element, "p:item/p:value/p:string")]
            assert offered == list(words)


def test_there_are_no_other_policies() -> None:
    assert [each.get("name") for each in find(TEMPLATE, ".//p:policy")] == [*BY_NAME]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_what_the_editor_offers_is_the_default_and_is_read(
    editor: FakeEditor, setting: Setting
) -> None:
    typed = "Europe/Berlin" if setting.default is None else None
    editor.enable(setting.name, typed)
    resolved = editor.resolved()
    assert resolved.problems == ()
    assert resolved.origins[setting.name].layer is Layer.MACHINE_POLICY
    if typed is None and not isinstance(setting.kind, Switch):
        assert resolved.limits == Limits()


@pytest.mark.parametrize("name", [each.name for each in SETTINGS if isinstance(each.kind, Switch)])
def test_a_switch_is_on_or_off(editor: FakeEditor, name: str) -> None:
    editor.enable(name)
    assert getattr(editor.resolved().limits, BY_NAME[name].toml) is True
    editor.disable(name)
    assert getattr(editor.resolved().limits, BY_NAME[name].toml) is False


def test_what_an_administrator_types_counts(editor: FakeEditor) -> None:
    editor.enable("GuestUpdateTime", "7:05")
    editor.enable("GuestUpdateDuration", "1440")
    editor.enable("GuestUpdateDays", "Monday\nThu")
    editor.enable("CloseAction", "TURN-OFF")
    editor.enable("TaskTimeout", "2147483647")
    limits = editor.resolved().limits
    assert f"{limits.guest_update_time:%H:%M}" == "07:05"
    assert limits.guest_update_days == frozenset({0, 3})
    assert limits.close_action == "TURN-OFF"
    editor.enable("GuestUpdateTime", "24:00")
    assert '"24:00" will not do' in str(editor.resolved().problems[0])


def test_a_disabled_policy_that_is_no_switch_sets_nothing(editor: FakeEditor) -> None:
    for setting in SETTINGS:
        if not isinstance(setting.kind, Switch):
            editor.disable(setting.name)
    assert editor.resolved().limits == Limits()


def test_every_text_says_what_it_is_for() -> None:
    for setting in SETTINGS:
        explained = only(WORDS, f".//p:string[@id='{setting.name}_Explain']").text
        assert setting.help in explained
        assert setting.kind.registry in explained
        if isinstance(setting.kind, CommandLine):
            continue
        shown = setting.kind.text(setting.default)
        assert f"the default: {shown}." in explained
