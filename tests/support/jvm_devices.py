"""Devices that are JVM processes: the Android client's `device` module with TensorFlow Lite for the desktop."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from edgewise_edge.home import Home
from edgewise_edge.store import ExampleStore
from process_fleet import FLEET, ProcessFleet

PROJECT = Path(__file__).parents[2] / "android_stub"
JAR = PROJECT / "desktop/target/edgewise-desktop.jar"


def desktop_jar() -> Path:
    """Return the built client; it is built if need be. Skips, saying why, where there is no JDK or no Maven."""
    missing = [tool for tool in ("java", "javac", "mvn") if not shutil.which(tool)]
    if missing:
        pytest.skip(f"the Android client needs {', '.join(missing)}: apt install openjdk-17-jdk-headless maven")
    sources = [*PROJECT.glob("*/pom.xml"), *PROJECT.glob("*/src/main/**/*.java")]
    if not JAR.exists() or JAR.stat().st_mtime < max(path.stat().st_mtime for path in sources):
        command = ["mvn", "-q", "-B", "package", "-DskipTests", "-pl", "desktop", "-am"]
        subprocess.run(command, cwd=PROJECT, check=True, timeout=300)
        os.utime(JAR)  # Maven leaves a jar as it is when nothing in it changed
    return JAR


def java(jar: Path, *arguments: str, **options: object) -> subprocess.Popen[str]:
    # One core's worth of collector and compiler: a machine that runs tests has others to serve.
    command = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m", "-jar", str(jar), *arguments]
    return subprocess.Popen(command, text=True, **options)  # type: ignore[call-overload,no-any-return]


def start_jvm_device(
    fleet: ProcessFleet, jar: Path, name: str, texts: list[str] | None = None, bundle: Path | None = None
) -> None:
    """Start a JVM device on a folder of its own, as `ProcessFleet.start_device` starts a Python one."""
    home = Home(fleet.folder / name)
    if texts:
        with ExampleStore(home.examples) as store:  # both clients keep examples in the same schema
            store.add_many(texts)
    log = (fleet.folder / f"{name}.log").open("a")
    whence = ["--bundle", str(bundle)] if bundle else ["--broker", fleet.broker.url, "--fleet", FLEET, "--device", name]
    fleet.devices[name] = java(jar, "run", *whence, "--home", str(home.path), stderr=log, stdout=log)
