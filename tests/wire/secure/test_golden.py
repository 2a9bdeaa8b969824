"""tests/golden/secure.json is the contract with devices in other languages: it must not change by itself."""

import json
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[3]
FILE = ROOT / "tests/golden/secure.json"


def test_the_round_is_still_the_one_in_the_file() -> None:
    loader = SourceFileLoader("generate_golden_secure", str(ROOT / "scripts/generate-golden-secure"))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    assert json.loads(json.dumps(module.golden())) == json.loads(FILE.read_text("utf-8"))


def test_the_sum_in_the_file_is_that_of_its_words() -> None:
    found = json.loads(FILE.read_text("utf-8"))
    rows = [device["words"] for device in found["devices"] if "words" in device]
    assert len(rows) == 3
    total = np.sum(np.array(rows, np.uint64), axis=0) % (1 << found["modulus_bits"])
    assert total.tolist() == found["sum"]
