"""Captions rewritten by a program that somebody names: drafts and facts go in, and what is true of what comes out is kept.

Nothing here calls a service: a program may. What it writes is believed of no sample: each text is taken apart as drafts are
(`checking`), and is refused for the first thing that is not stored. The file of what was taken (`rewritten`) grows line by
line, so that the same command goes on where one was stopped.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curation.errors import ConfigError
from curation.errors.printable import printable
from curation.pack.captions import packed, rewritten
from curation.pack.captions import words as tables
from curation.pack.captions.facts import StoredFact
from curation.pack.captions.packed import Captions
from curation.pack.captions.program import Program, ProgramError, Trouble
from curation.pack.captions.vocabulary import vocabulary
from curation.pack.captions.words import Words
from curation.recipe.dataset import Dataset
from curation.store import paths
from curation.store.appended import AppendedFile
from curation.store.objects import Store
from curation.work.progress import Counting

log = logging.getLogger(__name__)

MOST_IN_A_ROW = 3
"""So many samples in a row without an answer, and the program is no program for this: nothing more is asked of it."""

TAKEN, NONE_TRUE = "rewritten", "none_true"
"""What becomes of a sample, beside `Trouble`: some of its texts were taken, or none."""

UNCHANGED, REPEATED = "unchanged", "repeated"
"""Why a text is not taken, beside `Fault`: it is a draft, or one that the same answer has already."""


@dataclass(frozen=True, slots=True)
class RewriteWish:
    """What is to be rewritten, and how."""

    command: tuple[str, ...]
    """The program and its arguments: it is started as it is, by no shell. No word of it is kept: it may hold a key."""
    model: str
    """What its user says that it asks, kept in the file."""
    prompt: str = ""
    """What it is told with each sample, kept in the file."""
    timeout_s: float = 60.0
    """That an answer may take."""
    limit: int | None = None
    """Only the first so many samples."""
    annotation: str = ""
    """Name of the captions; of the only ones where left out."""
    out: Path | None = None
    """The file; `<annotation>-rewritten.jsonl` beside the recipe where left out."""


@dataclass(slots=True)
class Done:
    """What rewriting came to."""

    where: Path
    annotation: str
    samples: int = 0
    """That have captions."""
    before: int = 0
    """Of these those that an earlier run has asked for."""
    outcomes: Counter[str] = field(default_factory=Counter)
    """What became of samples → how many."""
    texts: int = 0
    """That were taken."""
    refused: Counter[str] = field(default_factory=Counter)
    """Reason → texts."""
    trouble: str = ""
    """Why it ended before all was asked; empty where it did not."""


@dataclass(frozen=True, slots=True)
class Todo:
    """One sample to be asked for."""

    key: str
    drafts: tuple[str, ...]
    facts: Mapping[str, Mapping[str, Any]]

    @property
    def digest(self) -> str:
        """Of what it is asked with: other facts or drafts are asked for again."""
        return hashlib.sha256(json.dumps([self.drafts, self.facts], sort_keys=True).encode()).hexdigest()

    @property
    def stored(self) -> list[StoredFact]:
        """Its facts."""
        return [StoredFact.from_json(n, f) for n, f in self.facts.items()]


@dataclass(frozen=True, slots=True)
class _Work:
    """All that a command is about, but for the captions, which come shard by shard."""

    dataset: Dataset
    store: Store
    wish: RewriteWish
    name: str
    words: Words
    most: int
    """Samples at most."""
    out: Path

    @property
    def head(self) -> dict[str, Any]:
        """The first line of the file."""
        return _head(self.wish, self.words)

    def todo(self, known: Mapping[str, str], done: Done, skip: Callable[[], None]) -> Iterator[Todo]:
        """Samples in the order of shards, without those that an earlier run has asked for: these are skipped."""
        every = (_todo(key, v) for key, v in packed.read(self.dataset, self.store, self.name) if v is not None)
        for its in itertools.islice(every, self.wish.limit):
            done.samples += 1
            if known.get(its.key) == its.digest:
                done.before += 1
                skip()
            else:
                yield its


def _work(dataset: Dataset, store: Store, wish: RewriteWish) -> _Work:
    """What is to be done.

    Raises:
        ConfigError: nothing is packed, or in other words than the recipe's.
    """
    name, index = packed.needed(dataset, store, wish.annotation)
    its = dataset.annotations[name]
    made_by = index.counts.get("read", {}).get(name, {}).get("words_sha256")
    if made_by != its.sha256:
        raise ConfigError(
            f"{dataset.path}: [annotations.{name}]: the shards were packed in other words: `curate pack` first"
        )
    words = tables.of_bytes(its.source, f"[annotations.{name}.captions] words")
    samples = sum(split.samples for split in index.splits.values())
    out = wish.out or dataset.path.parent / paths.rewritten_captions(name)
    return _Work(dataset, store, wish, name, words, min(samples, wish.limit or samples), out)


def foreseen(dataset: Dataset, store: Store, wish: RewriteWish) -> Done:
    """How many samples there are, and how many were asked for; nothing is asked or written.

    Raises:
        ConfigError: nothing is packed, or in other words than the recipe's; or the file is of another model or prompt.
        DamageError: a shard is not what was packed.
    """
    work = _work(dataset, store, wish)
    done = Done(work.out, work.name)
    for _ in work.todo(_known(work.out, work.head), done, lambda: None):
        pass
    return done


def rewrite(dataset: Dataset, store: Store, wish: RewriteWish) -> Done:
    """Asks for each sample that was not, shard by shard, and keeps what is true. Raises as `foreseen` does."""
    work = _work(dataset, store, wish)
    done = Done(work.out, work.name)
    with _opened(work.out, work.head) as file, Counting("captions", work.most, "sample") as count:
        for line, outcome in _answers(work, work.todo(file.checked, done, count.step), done):
            if line is not None:
                file.write(line)
            done.outcomes[outcome] += 1
            count.add([outcome])
    return done


def _answers(work: _Work, todo: Iterator[Todo], done: Done) -> Iterator[tuple[bytes | None, str]]:
    """The line of each sample, None of one without an answer, and what became of it."""
    in_a_row = 0
    with Program(work.wish.command, work.wish.timeout_s) as program:
        for its in todo:
            try:
                texts = _texts(program.ask(_question(its, work)))
            except ProgramError as err:
                in_a_row += 1
                log.warning("captions: %s: %s", its.key, printable(err))
                yield None, err.trouble.value
                if in_a_row >= MOST_IN_A_ROW:
                    done.trouble = (
                        f"{in_a_row} samples in a row without an answer, the last {its.key}: {printable(err)}"
                    )
                    return
                continue
            in_a_row = 0
            taken, refused = _sifted(texts, its, work.words)
            done.texts += len(taken)
            done.refused += refused
            line = {"key": its.key, "captions": taken, "drafts": its.digest, "refused": dict(sorted(refused.items()))}
            yield rewritten.line_bytes(line), TAKEN if taken else NONE_TRUE


def _question(its: Todo, work: _Work) -> dict[str, Any]:
    """What the program is given of a sample."""
    return {
        "key": its.key,
        "language": work.words.language,
        "prompt": work.wish.prompt,
        "drafts": its.drafts,
        "facts": its.facts,
        "words": vocabulary(work.words, its.stored),
    }


def _sifted(texts: Sequence[str], its: Todo, words: Words) -> tuple[list[str], Counter[str]]:
    """The texts of an answer that are taken, and how many are not, by reason: together all that there are."""
    fresh = [t for t in dict.fromkeys(texts) if t not in its.drafts]
    taken, refused = rewritten.accepted(fresh, words, its.stored)
    refused[UNCHANGED] = sum(t in its.drafts for t in texts)
    refused[REPEATED] = len(texts) - refused[UNCHANGED] - len(fresh)
    return taken, +refused


def _texts(answer: Mapping[str, Any]) -> list[str]:
    texts = answer.get("captions")
    if not isinstance(texts, list) or not all(isinstance(t, str) for t in texts):
        raise ProgramError(Trouble.GARBAGE, "expected 'captions', a list of texts")
    return texts


def _todo(key: str, value: Captions) -> Todo:
    """Its drafts are those that no program has written, whatever stands before them by now."""
    return Todo(key, tuple(value.get("drafts", value["captions"])), value["facts"])


def _head(wish: RewriteWish, words: Words) -> dict[str, Any]:
    return {
        "format": rewritten.FORMAT,
        "version": rewritten.VERSION,
        "language": words.language,
        "model": wish.model,
        "prompt": wish.prompt,
        "prompt_sha256": hashlib.sha256(wish.prompt.encode()).hexdigest(),
    }


def _known(where: Path, head: Mapping[str, Any]) -> Mapping[str, str]:
    """Sample → digest of what it was asked with, of the lines that stand in the file.

    None where it is not there, or a stopped command wrote no whole line.

    Raises:
        ConfigError: it is no such file, or of another model, prompt or language.
    """
    if not where.is_file():
        return {}
    with where.open("rb") as file:
        first = file.readline()
        if not first.endswith(b"\n"):
            if first and not rewritten.line_bytes(head).startswith(first):
                raise ConfigError(f"{where}: is no file of rewritten captions; name another one")
            return {}
        file.seek(0)
        lines = rewritten.each_of(file, str(where))
        found = next(lines)
        if other := [k for k, v in head.items() if found.get(k) != v]:
            raise ConfigError(
                f"{where}: was written by another {other[0]}: {printable(found.get(other[0], 'none'))[:80]}; say --out for "
                "a file of this one's own"
            )
        return {line["key"]: str(line.get("drafts")) for line in lines}


@contextlib.contextmanager
def _opened(where: Path, head: Mapping[str, Any]) -> Iterator[AppendedFile[Mapping[str, str]]]:
    """The file, to which whole lines are added.

    Raises:
        ConfigError: another command writes it, or has begun it with another model or prompt; or it cannot be written.
    """
    with AppendedFile(where, lambda: _known(where, head), "name another --out") as file:
        if not file.size:
            file.write(rewritten.line_bytes(head))
        yield file
