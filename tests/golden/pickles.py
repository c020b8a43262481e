"""One value of plain data as Python pickles it in each protocol, and indicators that share what they hold.

Run from the repository root (Python 3.8 or newer, nothing is installed):

    python tests/golden/pickles.py

Writes tests/golden/pickles/*.pkl. Python 2 strings and what no pickler of today writes are in the tests as bytes.
"""

import collections
import pathlib
import pickle

HERE = pathlib.Path(__file__).parent / "pickles"


def main():
    HERE.mkdir(exist_ok=True)
    shared = {"4": 0.5}
    itself = [1]
    itself.append(itself)
    plain = {
        "none": None,
        "true": True,
        "false": False,
        "ints": [0, 255, 65535, -1, 1 << 40, -(1 << 40)],
        "long": 1 << 80,
        "float": 0.1,
        "text": "Gr\u00fc\u00dfe, \u20ac \U0001f600 'a'\n\\u0041",
        "bytes": b"",
        "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
        "ordered": collections.OrderedDict([("b", 1), ("a", 2)]),
        "default": collections.defaultdict(float, {"x": 1.5}),
        "twice": [shared, shared],
        "itself": itself,
    }
    for protocol in range(6):
        (HERE / f"protocol{protocol}.pkl").write_bytes(pickle.dumps(plain, protocol))
    by_bits = {"4": 0.25, "2": 0.5}
    layers = ["module.body", "module.tail"]
    table = collections.OrderedDict((layer, by_bits) for layer in layers)
    shared_indicators = {"layer_name": layers, "weight": table, "act": table}
    (HERE / "shared.pkl").write_bytes(pickle.dumps(shared_indicators, 4))
    whole = {layer: {4: 0.25, 2: 0.5} for layer in layers}
    (HERE / "whole_bits.pkl").write_bytes(pickle.dumps({"layer_name": layers, "weight": whole, "act": whole}, 4))
    numbered = {0: by_bits, 1: by_bits}
    (HERE / "numbered.pkl").write_bytes(pickle.dumps({"layer_name": [0, 1], "weight": numbered, "act": numbered}, 4))


if __name__ == "__main__":
    main()
