"""The step that has captions rewritten, part of what `curation.load` gives, and what it came to, or would come to."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from curation.api.results import Result
from curation.api.steps import Steps, path_of
from curation.errors import ConfigError, CurationError
from curation.errors.words import counted
from curation.pack.captions import rewriting
from curation.pack.captions.program import Trouble
from curation.store import local
from curation.work import telling


@dataclass(frozen=True, slots=True, repr=False)
class RewriteResult(Result):
    """What rewriting came to."""

    done: rewriting.Done
    dry_run: bool = False

    def error(self) -> CurationError | None:
        """What is not so: the program did not answer for some sample."""
        without = sum(self.done.outcomes[t.value] for t in Trouble)
        if not without:
            return None
        why = (
            self.done.trouble or f"{counted(without, 'sample')} without an answer: the same command asks for them again"
        )
        return CurationError(f"captions: {why}")

    def notes(self) -> list[str]:
        """How many, why not, and what to do now."""
        its = self.done
        left = its.samples - its.before
        if self.dry_run:
            return [
                f"captions {its.annotation}: {counted(its.samples, 'sample')}, {its.before} asked for before, {left} to ask "
                f"for; into {its.where}; nothing is asked or written"
            ]
        said = ", ".join(f"{n} {what}" for what, n in its.outcomes.most_common()) or "nothing to ask for"
        refused = ", ".join(f"{n} {why}" for why, n in its.refused.most_common()) or "none"
        return [
            f"captions {its.annotation}: {counted(its.samples, 'sample')}, {its.before} asked for before; {said}",
            f"{counted(its.texts, 'text')} taken; refused: {refused}",
            f'written to {its.where}; with rewritten = "{its.where.name}" in [annotations.{its.annotation}.captions] the '
            "next `curate pack` puts those before the drafts that are still true then",
        ]


class CaptionSteps(Steps):
    """What `curate captions` does."""

    __slots__ = ()

    @telling.shown()
    def rewrite_captions(
        self,
        command: str,
        *,
        model: str,
        prompt: str | Path | None = None,
        annotation: str = "",
        out: str | Path | None = None,
        timeout_s: float = 60.0,
        limit: int | None = None,
        dry_run: bool = False,
        check: bool = True,
    ) -> RewriteResult:
        """Has captions that are packed rewritten by a program, and keeps what is true. A rerun asks for what is left.

        Args:
            command: the program and its arguments. It is given a JSON object a line (`key`, `language`, `prompt`, `drafts`,
                `facts`, and `words`: what a text may be made of), and answers each with one (`key`, `captions`). What it
                asks, and whom, is its own business.
            model: what is kept of what it is.
            prompt: a file whose text it is given with each sample, and which is kept.
            annotation: which captions, where there are several.
            out: the file; `<annotation>-rewritten.jsonl` beside the recipe where left out.
            timeout_s: that an answer may take.
            limit: only the first so many samples, in the order of shards.
            dry_run: only count.
            check: raise where there was no answer for a sample, rather than return it.

        Raises:
            ConfigError: nothing is packed with captions, or the file is another's.
        """
        try:
            words = tuple(shlex.split(command))
        except ValueError as err:
            raise ConfigError(f"--command: {err}") from err
        if not words:
            raise ConfigError("--command: is empty, expected a program")
        text = "" if prompt is None else local.content(Path(prompt)).decode()
        wish = rewriting.RewriteWish(words, model, text, timeout_s, limit, annotation, path_of(out))
        if dry_run:
            return RewriteResult(rewriting.foreseen(self.dataset, self.store, wish), dry_run=True)
        result = RewriteResult(rewriting.rewrite(self.dataset, self.store, wish))
        if check:
            result.raise_for_error()
        return result
