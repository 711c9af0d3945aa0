"""The Group Policy template, made from the table of settings: `guestwake.admx`, and its texts.

One policy a setting, for computers and for users, each below the registry's two policy roots. A
switch is on, off or not configured; anything else holds its value while the policy is enabled.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree as ET

from guestwake.settings.registry_keys import POLICIES
from guestwake.settings.table import (
    BY_NAME,
    COMMAND_LINE_MAX,
    DAY_NAMES,
    SETTINGS,
    Choice,
    CommandLine,
    Days,
    Key,
    Number,
    Setting,
    Switch,
    TimeOfDay,
    Zone,
)

_NAMESPACE = "http://schemas.microsoft.com/GroupPolicy/2006/07/PolicyDefinitions"
_OURS = "Guestwake.Policies.MEDV"
_VERSIONS = {"revision": "1.0", "schemaVersion": "1.0"}
_TOP = "Guestwake"
_SUPPORTED = "SUPPORTED_Guestwake"
_CATEGORIES = {
    Key.VM: "Virtual machines and their windows",
    Key.USER_EXPERIENCE: "What users see",
    Key.DIAGNOSTICS: "Diagnostics",
}
_TIME_CHARS = 5
_ZONE_CHARS = 64
_ABOUT = (
    "Settings of Guestwake, which wakes virtual machines for their updates. A policy for computers "
    "beats one for users, and both beat what is set without a policy."
)


def admx() -> str:
    root = ET.Element("policyDefinitions", {"xmlns": _NAMESPACE, **_VERSIONS})
    namespaces = ET.SubElement(root, "policyNamespaces")
    ET.SubElement(namespaces, "target", prefix="guestwake", namespace=_OURS)
    ET.SubElement(root, "resources", minRequiredRevision=_VERSIONS["revision"])
    supported = ET.SubElement(ET.SubElement(root, "supportedOn"), "definitions")
    ET.SubElement(supported, "definition", name=_SUPPORTED, displayName=_string(_SUPPORTED))
    categories = ET.SubElement(root, "categories")
    ET.SubElement(categories, "category", name=_TOP, displayName=_string(_TOP))
    for key in _CATEGORIES:
        category = ET.SubElement(categories, "category", name=key, displayName=_string(key))
        ET.SubElement(category, "parentCategory", ref=_TOP)
    policies = ET.SubElement(root, "policies")
    for setting in SETTINGS:
        policies.append(_policy(setting))
    return _text(root)


def adml() -> str:
    root = ET.Element("policyDefinitionResources", {"xmlns": _NAMESPACE, **_VERSIONS})
    ET.SubElement(root, "displayName").text = _TOP
    ET.SubElement(root, "description").text = _ABOUT
    resources = ET.SubElement(root, "resources")
    strings = ET.SubElement(resources, "stringTable")
    for name, words in _strings():
        ET.SubElement(strings, "string", id=name).text = words
    presentations = ET.SubElement(resources, "presentationTable")
    for setting in SETTINGS:
        if not isinstance(setting.kind, Switch):
            presentation = ET.SubElement(presentations, "presentation", id=setting.name)
            presentation.append(_box(setting))
    return _text(root)


# what is set


def _policy(setting: Setting) -> ET.Element:
    policy = ET.Element(
        "policy",
        {
            "name": setting.name,
            "class": "Both",
            "displayName": _string(setting.name),
            "explainText": _string(f"{setting.name}_Explain"),
            "key": f"{POLICIES}\\{setting.key}",
        },
    )
    ET.SubElement(policy, "parentCategory", ref=setting.key)
    ET.SubElement(policy, "supportedOn", ref=_SUPPORTED)
    if isinstance(setting.kind, Switch):
        policy.set("valueName", setting.name)
        for name, number in (("enabledValue", "1"), ("disabledValue", "0")):
            ET.SubElement(ET.SubElement(policy, name), "decimal", value=number)
    else:
        policy.set("presentation", f"$(presentation.{setting.name})")
        ET.SubElement(policy, "elements").append(_element(setting))
    return policy


def _element(setting: Setting) -> ET.Element:
    common = {"id": setting.name, "valueName": setting.name, "required": "true"}
    match setting.kind:
        case Number(low=low, high=high):
            return ET.Element("decimal", common, minValue=str(low), maxValue=str(high))
        case TimeOfDay():
            return ET.Element("text", common, maxLength=str(_TIME_CHARS))
        case Zone():
            return ET.Element("text", common, maxLength=str(_ZONE_CHARS))
        case CommandLine():
            return ET.Element("text", common, maxLength=str(COMMAND_LINE_MAX))
        case Days():
            return ET.Element("multiText", common, maxStrings=str(len(DAY_NAMES)))
        case Choice(words=words):
            enum = ET.Element("enum", common)
            for word in words:
                item = ET.SubElement(enum, "item", displayName=_string(_word(setting, word)))
                ET.SubElement(ET.SubElement(item, "value"), "string").text = word
            return enum
    raise AssertionError(setting.name)


# what is shown


def _box(setting: Setting) -> ET.Element:
    kind, default = setting.kind, setting.kind.plain(setting.default)
    where = {"refId": setting.name}
    match kind:
        case Number(noun=noun):
            box = ET.Element("decimalTextBox", where, defaultValue=str(default))
            box.text = noun.capitalize() if noun != "MiB" else noun
            box.text = box.text or "Number"
            return box
        case Choice(words=words):
            at = list(map(str, words)).index(str(default))
            box = ET.Element("dropdownList", where, noSort="true", defaultItem=str(at))
            box.text = "One of"
            return box
        case Days():
            box = ET.Element("multiTextBox", where)
            box.text = 'Days, one a line, or "all"'
            return box
    box = ET.Element("textBox", where)
    ET.SubElement(box, "label").text = _label(setting)
    if default is not None:
        ET.SubElement(box, "defaultValue").text = str(default)
    return box


def _label(setting: Setting) -> str:
    match setting.kind:
        case TimeOfDay():
            return "HH:MM"
        case Zone():
            return "IANA name"
    return "Command"


def _strings() -> Iterator[tuple[str, str]]:
    yield _TOP, _TOP
    yield _SUPPORTED, "Guestwake on Windows 10, Windows Server 2016 or newer"
    yield from _CATEGORIES.items()
    for setting in SETTINGS:
        yield setting.name, setting.name
        yield f"{setting.name}_Explain", _explained(setting)
        if isinstance(setting.kind, Choice):
            for word in setting.kind.words:
                yield _word(setting, word), word


def _explained(setting: Setting) -> str:
    kind = setting.kind
    must = 'days, one a line, or "all"' if isinstance(kind, Days) else kind.expects()
    if isinstance(kind, Switch):
        states = "Enabled is 1, disabled is 0."
    else:
        states = "Disabled is the same as not configured."
    return (
        f"{setting.help}\n\nIt must be {must}. Without it what is set elsewhere counts, "
        f"else the default: {kind.text(setting.default)}. {states}\n\nRegistry: "
        f"{POLICIES}\\{setting.key}, {setting.name}, {kind.registry}. A policy for one workspace "
        "alone stands in a subkey there with the name or the UUID of its VM."
    )


def _word(setting: Setting, word: str) -> str:
    """The name of the text of one of its words; names have letters, digits and underscores."""
    return f"{setting.name}_{word.replace('-', '_')}"


def _string(name: str) -> str:
    return f"$(string.{name})"


def _text(root: ET.Element) -> str:
    ET.indent(root)
    body = ET.tostring(root, encoding="unicode")
    head = '<?xml version="1.0" encoding="utf-8"?>\n'
    about = "<!-- Generated from src/guestwake/settings/table.py by `make docs`. -->\n"
    return f"{head}{about}{body}\n"


assert BY_NAME.keys().isdisjoint({_TOP, _SUPPORTED, *Key})  # they share one table of texts
