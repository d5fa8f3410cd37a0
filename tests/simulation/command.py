"""The command ``python -m tests.simulation --seeds 1000 --first 0``: play that many histories, on all cores.

A failing seed prints what broke and the command that plays it again, step for step. Exit code 1 if there is any.
"""

import argparse
import collections
import concurrent.futures
import logging
import multiprocessing
import os
import time
import traceback

from tests.simulation.bugs import BUGS, Bug
from tests.simulation.play import CRASH_POINTS, OPERATIONS, Report, play


def _one(seed: int, operations: int, bug: str) -> Report | str:
    logging.disable(logging.CRITICAL)
    try:
        return play(seed, operations=operations, bug=_bug(bug))
    except Exception:  # noqa: BLE001 - whatever it is, it is the finding
        return traceback.format_exc()


def _bug(name: str) -> Bug | None:
    return next((bug for bug in BUGS if bug.name == name), None)


def main() -> int:
    """Play the histories that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many histories (default 100)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first one (default 0)")
    parser.add_argument("--operations", type=int, default=OPERATIONS, help=f"requests a history (default {OPERATIONS})")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument("--bug", default="", choices=["", *(bug.name for bug in BUGS)], help="plant this bug")
    given = parser.parse_args()
    seeds = range(given.first, given.first + given.seeds)
    began = time.monotonic()
    total = Report(given.first)
    failed: list[int] = []
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(min(given.jobs, len(seeds) or 1), context) as pool:
        waiting = {pool.submit(_one, seed, given.operations, given.bug): seed for seed in seeds}
        for number, done in enumerate(concurrent.futures.as_completed(waiting), 1):
            seed, outcome = waiting[done], done.result()
            if isinstance(outcome, str):
                failed.append(seed)
                bug = f" --bug {given.bug!r}" if given.bug else ""
                operations = f" --operations {given.operations}" if given.operations != OPERATIONS else ""
                print(f"{outcome}\nseed {seed} failed; to play it again:")
                print(f"  python -m tests.simulation --first {seed} --seeds 1{operations}{bug}", flush=True)
            else:
                _add(total, outcome)
            if number % 50 == 0 or number == len(seeds):
                took = time.monotonic() - began
                print(f"{number} of {len(seeds)} histories in {took:.0f} s, {len(failed)} failed", flush=True)
    _tell(total)
    return 1 if failed else 0


def _add(total: Report, one: Report) -> None:
    total.operations += one.operations
    total.acknowledged += one.acknowledged
    total.crashes += one.crashes
    total.restarts_checked += one.restarts_checked
    total.crashed_at.update(one.crashed_at)
    total.done.update(one.done)


def _tell(total: Report) -> None:
    print(f"{total.operations} requests, {total.acknowledged} acknowledged writes, {total.crashes} crashes,")
    print(f"{total.restarts_checked} restarts checked; the power failed in the middle of:")
    counted: collections.Counter[str] = total.crashed_at
    for point in sorted({*CRASH_POINTS, *counted}):
        print(f"  {counted[point]:6} {point}")
