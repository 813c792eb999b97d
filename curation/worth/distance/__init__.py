"""How far parts of datasets lie apart: measures with intervals over places, noise floors and tests, and a page of them."""
