"""Rows, labels and features that are made, with what is true of them known."""

from __future__ import annotations

import numpy as np

from curation.worth.probe.rows import ProbedEncoder, ProbeRows, ProbeTask

SEASONS = ("summer", "winter")


def rows(places: int, seed: int = 0, seasons: tuple[str, ...] = SEASONS, span_deg: float = 10.0) -> ProbeRows:
    """Places at random in a square of so many degrees, each in all seasons."""
    rng, many = np.random.default_rng(seed), len(seasons)
    lon, lat = (np.repeat(c + rng.uniform(0, span_deg, places), many) for c in (5.0, 45.0))
    names = np.repeat([f"p{n:05d}" for n in range(places)], many)
    sides = np.repeat(np.where(np.arange(places) % 4 == 0, "val", "train"), many)
    east = np.where(lon > 5 + span_deg / 2, "east", "west")
    return ProbeRows(names, names, np.tile(seasons, places), lon, lat, sides, {"half": east})


def task(of: ProbeRows, signal: np.ndarray, names: tuple[str, ...] = ("a", "b", "c"), noise: float = 0.5) -> ProbeTask:
    """Classes that follow from columns of a signal, some noise aside."""
    rng = np.random.default_rng(1)
    values = signal[:, : len(names)] + noise * rng.normal(size=(len(of), len(names))) > 0.3
    return ProbeTask("made", "classes", names, values.astype(np.float64))


def signal(of: ProbeRows, width: int = 6, seed: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(len(of), width))


def encoders(of: ProbeRows, true: np.ndarray) -> list[ProbedEncoder]:
    """One that has the signal, one that has it with much noise, one that has none of it."""
    rng = np.random.default_rng(3)
    noisy = true + 2 * rng.normal(size=true.shape)
    return [
        ProbedEncoder("good", true),
        ProbedEncoder("noisy", noisy, "baseline"),
        ProbedEncoder("nothing", rng.normal(size=true.shape), "baseline"),
    ]
