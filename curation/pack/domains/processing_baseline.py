"""The processing baselines of a sample's scenes."""

from curation.pack.domains.domain import Domain

DOMAIN = Domain("Processing baseline", of_patch=lambda patch: [*patch.each("baseline"), *patch.words("baselines")])
