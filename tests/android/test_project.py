"""The Android project as text: versions, modules, permissions, manifests; Google's Gradle plug-in is not run here."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "android_stub"
POM = "{http://maven.apache.org/POM/4.0.0}"
ANDROID = "{http://schemas.android.com/apk/res/android}"
GRADLE_MODULES = ("wire", "device", "android", "app")


def pom(path: str = "pom.xml") -> ET.Element:
    return ET.parse(PROJECT / path).getroot()


def maven_versions() -> dict[str, str]:
    found = pom().find(f"{POM}properties")
    assert found is not None
    return {each.tag.removeprefix(POM): each.text or "" for each in found}


def gradle_versions() -> dict[str, str]:
    return dict(re.findall(r"^(\w+)Version=(\S+)$", (PROJECT / "gradle.properties").read_text(), re.MULTILINE))


def test_gradle_and_maven_use_the_same_versions() -> None:
    maven = maven_versions()
    gradle = gradle_versions()
    assert gradle.keys() == {"flatbuffers", "bouncycastle", "gson", "paho", "litert"}
    for name in gradle.keys() - {"litert"}:
        assert gradle[name] == maven[f"{name}.version"], name


def test_the_flatbuffers_generator_and_its_runtime_are_of_one_version() -> None:
    script = (ROOT / "scripts/generate-wire").read_text()
    version = re.search(r'^VERSION = "(.*)"', script, re.MULTILINE)
    assert version is not None
    assert maven_versions()["flatbuffers.version"] == version[1]
    for path in (PROJECT / "wire/src/main/java/edgewise/wire/generated").glob("*.java"):
        calls = re.findall(r"FLATBUFFERS_(\w+)\(\)", path.read_text())
        assert set(calls) <= {version[1].replace(".", "_")}, path.name


@pytest.mark.parametrize("module", GRADLE_MODULES)
def test_every_module_is_in_both_builds_with_the_same_libraries(module: str) -> None:
    modules = [each.text for each in pom().iter(f"{POM}module")]
    assert module in modules
    assert f'":{module}"' in (PROJECT / "settings.gradle").read_text()
    gradle = (PROJECT / module / "build.gradle").read_text()
    asked = {
        (each.findtext(f"{POM}groupId"), each.findtext(f"{POM}artifactId"))
        for each in pom(f"{module}/pom.xml").iter(f"{POM}dependency")
        if each.findtext(f"{POM}scope") is None and each.findtext(f"{POM}groupId") != "edgewise"
    } - {("org.junit.jupiter", "junit-jupiter")}
    libraries = set(re.findall(r'"([\w.]+):([\w.-]+):\$', gradle)) - {("com.google.ai.edge.litert", "litert")}
    assert libraries == asked


def test_every_phone_from_android_7_on_is_served() -> None:
    for module in ("android", "app"):
        assert re.search(r"^\s*minSdk 24$", (PROJECT / module / "build.gradle").read_text(), re.MULTILINE), module
    for path in PROJECT.glob("*/build.gradle"):
        assert "VERSION_17" in path.read_text(), path
    sniffer = (PROJECT / "pom.xml").read_text()
    assert "android-api-level-24" in sniffer
    for module in ("wire", "device"):  # no class or method that API 24 lacks
        assert "animal-sniffer" in (PROJECT / module / "pom.xml").read_text()
    assert maven_versions()["android.version"].startswith("7.0.0")  # the framework that the rest is compiled against


def manifest(module: str) -> ET.Element:
    return ET.parse(PROJECT / module / "src/main/AndroidManifest.xml").getroot()


def test_the_library_asks_for_three_permissions_and_no_more() -> None:
    asked = {each.get(f"{ANDROID}name") for each in manifest("android").iter("uses-permission")}
    wanted = {"INTERNET", "ACCESS_NETWORK_STATE", "RECEIVE_BOOT_COMPLETED"}
    assert asked == {f"android.permission.{name}" for name in wanted}
    assert not list(manifest("app").iter("uses-permission"))
    readme = (PROJECT / "README.md").read_text()
    assert all(name in readme for name in wanted)


def test_services_are_what_the_manifests_name_and_only_android_may_start_them() -> None:
    services = {
        each.get(f"{ANDROID}name"): each.get(f"{ANDROID}permission")
        for module in ("android", "app")
        for each in manifest(module).iter("service")
    }
    assert services == {
        "edgewise.android.TrainingJobService": "android.permission.BIND_JOB_SERVICE",
        "edgewise.app.KeyboardService": "android.permission.BIND_INPUT_METHOD",
    }
    application = manifest("app").find("application")
    assert application is not None
    assert application.get(f"{ANDROID}allowBackup") == "false"  # what was typed goes into nobody's backup
    names = [
        *services,
        application.get(f"{ANDROID}name"),
        *(e.get(f"{ANDROID}name") for e in application.iter("activity")),
    ]
    for name in names:
        assert name is not None
        module = "android" if name.startswith("edgewise.android") else "app"
        assert (PROJECT / module / "src/main/java" / Path(*name.split("."))).with_suffix(".java").exists(), name


def test_the_resources_that_the_manifest_names_exist() -> None:
    text = (PROJECT / "app/src/main/AndroidManifest.xml").read_text()
    assert set(re.findall(r'"@(\w+)/(\w+)"', text)) == {("string", "app_name"), ("xml", "method")}
    assert (PROJECT / "app/src/main/res/xml/method.xml").exists()
    assert 'name="app_name"' in (PROJECT / "app/src/main/res/values/strings.xml").read_text()


def test_the_wire_and_device_modules_name_no_android_class() -> None:
    for module in ("wire", "device", "desktop"):
        for path in (PROJECT / module / "src").rglob("*.java"):
            assert not re.search(r"^import (android|androidx)\.", path.read_text(), re.MULTILINE), path


def test_the_privacy_page_of_the_app_is_the_one_for_its_users() -> None:
    java = (PROJECT / "app/src/main/java/edgewise/app/Privacy.java").read_text()
    said = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', java)).replace("\\n", "\n")
    page = (PROJECT / "PRIVACY.md").read_text().partition("\n")[2]
    assert " ".join(page.split()) == " ".join(said.split())


def test_states_are_those_of_the_python_device() -> None:
    from edgewise_wire.messages import DeviceState

    java = (PROJECT / "device/src/main/java/edgewise/device/DeviceState.java").read_text()
    found = re.search(r"public enum DeviceState \{\s+([A-Z_, ]+);", java)
    assert found is not None
    assert found[1].split(", ") == [state.name for state in DeviceState]


def test_the_policy_has_the_names_and_defaults_of_the_python_device() -> None:
    from edgewise_edge.policy import Policy

    java = (PROJECT / "device/src/main/java/edgewise/device/Policy.java").read_text()
    rules = {name: float(value.replace("_", "")) for name, value in re.findall(r'put\("(\w+)", ([\d._]+)\)', java)}
    ours = Policy()
    assert len(rules) > 10
    for name, value in rules.items():
        assert float(getattr(ours, name)) == value, name
