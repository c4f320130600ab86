"""Speakeasy runs the driver's DriverEntry, which allocates and frees blocks in a loop.

speakeasy_pool.py pool ROUNDS SAMPLES DRIVER: prints for each sample how many pool calls a DriverEntry
made and the nanoseconds it took, and the same of one that makes none. Each runs in an emulator of its
own, with the driver loaded before.
"""
import json
import os
import struct
import sys
import time

import pefile
import speakeasy


def exports(path):
    image = pefile.PE(path)
    return {symbol.name.decode(): symbol.address for symbol in image.DIRECTORY_ENTRY_EXPORT.symbols}


def configuration(calls):
    """The default one, without its limits on calls and time."""
    path = os.path.join(os.path.dirname(speakeasy.__file__), "configs", "default.json")
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    config["max_api_count"] = calls + 1000
    config["timeout"] = 3600
    return config


def driver_entry(path, variables, rounds):
    emulator = speakeasy.Speakeasy(config=configuration(2 * rounds))
    module = emulator.load_module(path)
    base = module.get_base()
    emulator.mem_write(base + variables["PoolLoopCount"], struct.pack("<Q", rounds))
    start = time.perf_counter_ns()
    emulator.run_module(module)
    taken = time.perf_counter_ns() - start
    (made,) = struct.unpack("<Q", emulator.mem_read(base + variables["PoolLoopMade"], 8))
    assert made == rounds, f"{made} rounds were made, {rounds} wanted"
    print(2 * rounds, taken)


def main():
    rounds, samples, path = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    variables = exports(path)
    for _ in range(samples):
        driver_entry(path, variables, rounds)
        driver_entry(path, variables, 0)


if __name__ == "__main__":
    main()
