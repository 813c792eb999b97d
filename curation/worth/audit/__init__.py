"""Labels held against what people see: a blind sample, marked by one reader or two, and what it says of all of them.

`drawn` is the sample, by strata, with the weights that undo them; `marks` is the file of a reader, which grows by a line a
mark; `pictures` what is looked at; `serving` the page, on loopback, that asks; `shares` what a stratified sample tells, with
intervals; `scored` puts these together.
"""
